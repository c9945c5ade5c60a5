/**
 * The exposition of /metrics: the families of families.ts, written by prom-client. Nothing is counted here: each scrape looks once at
 * what the server knows of itself, so that it costs what it costs to read the workers' last reports.
 */

import { Registry } from 'prom-client';
import { FAMILIES, type Family, type Sample, type Value } from './families.js';

export class Metrics {
  readonly #registry = new Registry();
  readonly #sample: () => Sample;
  #scraped: Sample | null = null;

  constructor(sample: () => Sample) {
    this.#sample = sample;
    // The registry asks no more of a metric than `get`.
    for (const family of FAMILIES) this.#registry.registerMetric(new Scraped(family, () => this.#scraped!) as never);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async text(): Promise<string> {
    this.#scraped = this.#sample();
    return this.#registry.metrics();
  }
}

class Scraped {
  readonly name: string;
  readonly #family: Family;
  readonly #sample: () => Sample;

  constructor(family: Family, sample: () => Sample) {
    this.name = family.name;
    this.#family = family;
    this.#sample = sample;
  }

  async get(): Promise<{ name: string; help: string; type: string; values: Value[] }> {
    const { name, help, type } = this.#family;
    return { name, help, type, values: this.#family.values(this.#sample()) };
  }
}
