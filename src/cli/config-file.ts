/**
 * The configuration file of `serve`: YAML, in which each key is the name of an option without its dashes, and each value the
 * option's text.
 *
 *     client-ports: 8000-8007
 *     max-connections: 200000
 *     retain:
 *       news/*: 1000/1h
 *
 * Which keys there are, and what their values may be, is what the command declares: a new option needs nothing here. An option
 * that may be repeated, or takes a list, takes a YAML list too; one that takes rules (`--retain`) a map. A switch takes true or false.
 * Paths are relative to the file's own directory.
 *
 * Pure: text in, values out. All problems are found, each with its place.
 */

import { dirname, resolve } from 'node:path';
import type { Option } from 'commander';
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Pair,
  type ParsedNode,
  parseDocument,
  Scalar,
} from 'yaml';
import { oneLine } from './errors.js';
import { isRepeatable, type OptionText } from './flag.js';
import { closest } from './suggest.js';

/** Options of the command that are no part of a configuration. */
const NOT_IN_FILES = new Set(['config']);
/** A file that is larger is another file. */
export const CONFIG_BYTES_MAX = 1 << 20;

export interface ConfigValue {
  option: Option;
  /** As the option's parser has it. */
  value: unknown;
  /** As it could stand on the command line. */
  text: OptionText;
  line: number;
}

export interface ConfigFile {
  values: ConfigValue[];
  /** One line each, with file, line and column. */
  problems: string[];
}

/** The options that a file may set, of all that a command has. */
export function configurable(options: readonly Option[]): Option[] {
  return options.filter((option) => !NOT_IN_FILES.has(option.name()));
}

/**
 * Reads a configuration file.
 *
 * @param path as the problems are to name it; relative paths in the file start in its directory
 */
export function parseConfigFile(text: string, path: string, options: readonly Option[]): ConfigFile {
  return new Reader(text, path, configurable(options)).read();
}

/** A problem with a place in the file. */
class Misfit extends Error {
  readonly node: ParsedNode | null;

  constructor(node: ParsedNode | null, message: string) {
    super(message);
    this.node = node;
  }
}

class Reader {
  readonly #lines = new LineCounter();
  readonly #document: Document.Parsed;
  readonly #path: string;
  readonly #options: Map<string, Option>;
  readonly #problems: string[] = [];

  constructor(text: string, path: string, options: Option[]) {
    this.#path = path;
    this.#options = new Map(options.map((option) => [option.name(), option]));
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false });
  }

  read(): ConfigFile {
    for (const { pos, message } of [...this.#document.errors, ...this.#document.warnings]) {
      this.#problem(pos[0], oneLine(message));
    }
    if (this.#problems.length > 0) return { values: [], problems: this.#problems };
    const { contents } = this.#document;
    const values: ConfigValue[] = [];
    if (contents === null || (isScalar(contents) && contents.value === null)) return { values, problems: [] };
    if (!isMap(contents)) {
      this.#problem(contents.range[0], "a configuration is a map: lines of '<option>: <value>'");
      return { values, problems: this.#problems };
    }
    for (const pair of contents.items as Pair<ParsedNode, ParsedNode | null>[]) {
      try {
        values.push(this.#value(pair));
      } catch (error) {
        if (!(error instanceof Misfit)) throw error;
        this.#problem((error.node ?? pair.key).range[0], error.message);
      }
    }
    return { values, problems: this.#problems };
  }

  #problem(offset: number, message: string): void {
    const { line, col } = this.#lines.linePos(offset);
    this.#problems.push(`${this.#path}:${line}:${col}: ${message}`);
  }

  #value({ key, value: given }: Pair<ParsedNode, ParsedNode | null>): ConfigValue {
    const name = isScalar(key) ? String(key.source ?? key.value) : '';
    const option = this.#options.get(name);
    if (option === undefined) throw new Misfit(key, this.#unknown(name));
    const node = isAlias(given) ? (given.resolve(this.#document) as ParsedNode | undefined) : given;
    if (node === undefined) throw new Misfit(given, 'there is no such anchor before this');
    const { line } = this.#lines.linePos(key.range[0]);
    if (node === null || (isScalar(node) && node.value === null && !node.source)) {
      throw new Misfit(key, `${name} has no value; leave the line out for the default`);
    }
    if (option.isBoolean()) {
      if (!isScalar(node) || typeof node.value !== 'boolean') throw new Misfit(node, `${name} is true or false`);
      // As on the command line, where a switch that is not given has no value.
      return { option, value: node.value || undefined, text: String(node.value), line };
    }
    const texts = this.#texts(name, node, isRepeatable(option) || Array.isArray(option.defaultValue));
    const values = texts.map(([at, text]) => this.#parse(option, at, text));
    const whole = texts.map(([, text]) => this.#given(option, text));
    if (isScalar(node)) return { option, value: values[0], text: whole[0]!, line };
    const value = isRepeatable(option) ? values.flat() : this.#parse(option, node, whole.join(','));
    return { option, value, text: whole, line };
  }

  /** The texts of a value, each with its place: one, or those of a list or map. */
  #texts(name: string, node: ParsedNode, takesList: boolean): [ParsedNode, string][] {
    if (isScalar(node)) return [[node, textOf(node)]];
    if (!takesList) throw new Misfit(node, `${name} takes one value, not a ${isMap(node) ? 'map' : 'list'}`);
    if (isSeq(node)) {
      return (node.items as ParsedNode[]).map((item) => {
        if (!isScalar(item) || item.value === null) throw new Misfit(item, `${name} takes a list of plain values`);
        return [item, textOf(item)];
      });
    }
    if (!isMap(node) || name !== 'retain') throw new Misfit(node, `${name} takes a list, not a map`);
    return (node.items as Pair<ParsedNode, ParsedNode | null>[]).map(({ key, value }) => {
      if (!isScalar(key) || !isScalar(value) || value.value === null) {
        throw new Misfit(key, `${name} takes a map of patterns to limits, as in 'news/*: 1000/1h'`);
      }
      return [key, `${textOf(key)}=${textOf(value)}`];
    });
  }

  /** @throws Misfit with what the option's parser says */
  #parse(option: Option, node: ParsedNode, text: string): unknown {
    const given = this.#given(option, text);
    try {
      const parse = option.parseArg as ((text: string, previous: unknown) => unknown) | undefined;
      return parse === undefined ? given : parse(given, isRepeatable(option) ? [] : undefined);
    } catch (error) {
      if ((error as { code?: string }).code !== 'commander.invalidArgument') throw error;
      throw new Misfit(node, `${option.name()} '${text}' is invalid. ${oneLine((error as Error).message)}`);
    }
  }

  /** Paths start in the file's directory. */
  #given(option: Option, text: string): string {
    return option.flags.includes('<path>') && text !== '' ? resolve(dirname(this.#path), text) : text;
  }

  #unknown(name: string): string {
    if (name === '') return 'a key is the name of an option';
    const plain = name
      .replace(/^-+/, '')
      .replace(/([a-z])([A-Z])/g, '$1-$2')
      .replaceAll('_', '-')
      .toLowerCase();
    const suggestion = closest(plain, this.#options.keys());
    const hint = suggestion === null ? '; megacomet serve --help lists all' : `; did you mean '${suggestion}'?`;
    return `'${name}' is no option${hint}`;
  }
}

/** Numbers as they are written: what they mean is the option's business. */
function textOf(node: Scalar.Parsed): string {
  const isPlain = node.type === Scalar.PLAIN;
  return isPlain && node.source !== undefined ? node.source : String(node.value);
}
