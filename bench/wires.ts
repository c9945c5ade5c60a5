/**
 * The protocols of the bench's client, pure functions over text: what it asks, how what comes is divided into elements, and
 * what each of them means to a connection that must receive one message on one channel.
 *
 * Text is latin1, one character a byte; the bench's messages are ASCII without characters that JSON escapes. An element is an
 * answer, an event, a frame, or the head before these.
 */

/**
 * classic: MegaComet's `/<id>.js`, ended by its message. bare-websocket: frames that hold the bare message. The others are
 * docs/protocol.md's `/v1/poll`, `/v1/sse` and `/v1/ws`.
 */
export type Protocol = 'classic' | 'bare-websocket' | 'long-poll' | 'sse' | 'websocket';

/** What an element means; anything else is what is wrong with it. */
export const NOTHING = 'nothing';
/** The server has begun to listen to the channel for this connection. */
export const READY = 'ready';
/** The message, whole and on the right channel. */
export const MESSAGE = 'message';
/** A poll ended without a message: ask again. */
export const AGAIN = 'again';
/** It has to be answered by {@link pong}. */
export const PING = 'ping';

export interface Wire {
  /** False where a connection counts as held once its request is sent: nothing comes before the message. */
  greets: boolean;
  /** What a message does to its connection: the server closes it, it stays, or the client has to ask again on it. */
  afterMessage: 'closed' | 'stays' | 'asks again';
  /** @param answer to the request before on this connection, null on a fresh one */
  request(channel: string, answer: string | null): string;
  /** The whole elements, and last what has come of the next one, perhaps nothing. */
  split(text: string): string[];
  /** @param message null when none is expected */
  judge(element: string, channel: string, message: string | null): string;
}

export const WIRES: Record<Protocol, Wire> = {
  classic: {
    greets: false,
    afterMessage: 'closed',
    request: (channel) => head(`/${channel}.js`),
    split: splitAnswers,
    judge(answer, _channel, message) {
      const end = answer.indexOf('\r\n\r\n');
      const right =
        answer.startsWith('HTTP/1.1 200 ') &&
        answer
          .slice(0, end + 2)
          .toLowerCase()
          .includes('\r\nconnection: close\r\n') &&
        answer.slice(end + 4) === message;
      return right ? MESSAGE : wrong(answer);
    },
  },

  'bare-websocket': {
    greets: true,
    afterMessage: 'stays',
    request: () => head('/', UPGRADE),
    split: splitFrames,
    judge(element, _channel, message) {
      if (element.startsWith('HTTP/')) return element.startsWith('HTTP/1.1 101 ') ? READY : wrong(element);
      return isText(element) && payloadOf(element) === message ? MESSAGE : wrong(element);
    },
  },

  'long-poll': {
    greets: false,
    afterMessage: 'asks again',
    request(channel, answer) {
      const after = answer === null ? 'now' : /"cursor":"([^"]*)"/.exec(bodyOf(answer))![1];
      return head(`/v1/poll?channel=${channel}&after=${after}&timeout=${POLL_TIMEOUT_S}`);
    },
    split: splitAnswers,
    judge(answer, channel, message) {
      const body = bodyOf(answer);
      if (!answer.startsWith('HTTP/1.1 200 ') || !body.startsWith('{"cursor":"')) return wrong(answer);
      if (body.includes('"messages":[]') && !body.includes('"gap":')) return AGAIN;
      return holds(body, channel, message) ? MESSAGE : wrong(answer);
    },
  },

  sse: {
    greets: true,
    afterMessage: 'stays',
    request: (channel) => head(`/v1/sse?channel=${channel}`),
    split(text) {
      const [before, rest] = splitHead(text);
      return [...before, ...rest.split('\n\n')];
    },
    judge(element, channel, message) {
      if (element.startsWith('HTTP/')) return element.startsWith('HTTP/1.1 200 ') ? NOTHING : wrong(element);
      if (element.startsWith('event: subscribed\n')) return READY;
      if (element.startsWith('event:')) return wrong(element);
      if (element.includes('\ndata: ')) return holds(element, channel, message) ? MESSAGE : wrong(element);
      return NOTHING; // comments are heartbeats, `retry:` is advice
    },
  },

  websocket: {
    greets: true,
    afterMessage: 'stays',
    request: (channel) => head(`/v1/ws?channel=${channel}`, UPGRADE),
    split: splitFrames,
    judge(element, channel, message) {
      if (element.startsWith('HTTP/')) return element.startsWith('HTTP/1.1 101 ') ? NOTHING : wrong(element);
      if (element.charCodeAt(0) === 0x89) return PING;
      if (!isText(element)) return wrong(element);
      const text = payloadOf(element);
      if (text.startsWith('{"type":"message",')) return holds(text, channel, message) ? MESSAGE : wrong(text);
      if (text.startsWith('{"type":"subscribed",')) return READY;
      return text.startsWith('{"type":"heartbeat"') ? NOTHING : wrong(text);
    },
  },
};

/** The longest that docs/protocol.md allows: nobody should time out while the bench looks at something else. */
const POLL_TIMEOUT_S = 300;

/** The handshake of RFC 6455 section 1.3, with its example key. */
const UPGRADE =
  'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

function head(target: string, fields = ''): string {
  return `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\n${fields}\r\n`;
}

/** The answer to a ping frame of less than 126 bytes: the same payload, masked with zeros (RFC 6455 section 5.5.3). */
export function pong(ping: string): string {
  const payload = payloadOf(ping);
  return `\x8a${String.fromCharCode(0x80 | payload.length)}\0\0\0\0${payload}`;
}

/** One message of the JSON formats, and no second one. */
function holds(json: string, channel: string, message: string | null): boolean {
  if (message === null) return false;
  const at = json.indexOf(`"data":"${message}"`);
  return at > 0 && json.includes(`"channel":"${channel}"`) && !json.includes('"data":', at + 1);
}

function wrong(element: string): string {
  return `wrong: ${JSON.stringify(element.slice(0, 200))}`;
}

function bodyOf(answer: string): string {
  return answer.slice(answer.indexOf('\r\n\r\n') + 4);
}

/** The head as an element of its own, where the text begins with a whole one; and what follows. */
function splitHead(text: string): [string[], string] {
  if (!text.startsWith('HTTP/')) return [[], text];
  const end = text.indexOf('\r\n\r\n') + 4;
  return end < 4 ? [[], text] : [[text.slice(0, end)], text.slice(end)];
}

/** Answers with a Content-Length, and last what has come of the next one. */
export function splitAnswers(text: string): string[] {
  const answers: string[] = [];
  for (let from = 0; ; ) {
    const end = text.indexOf('\r\n\r\n', from) + 4;
    const length = end < 4 ? null : /\r\ncontent-length: (\d+)\r\n/i.exec(text.slice(from, end));
    const next = length === null ? Number.POSITIVE_INFINITY : end + Number(length[1]);
    if (next > text.length) return [...answers, text.slice(from)];
    answers.push(text.slice(from, next));
    from = next;
  }
}

/** Perhaps a head, then frames. */
function splitFrames(text: string): string[] {
  const [elements, rest] = splitHead(text);
  if (elements.length === 0 && text.startsWith('HTTP/')) return [text];
  for (let from = 0; ; ) {
    const next = from + headerBytes(rest, from) + payloadBytes(rest, from);
    // Not a number where the header itself is not whole.
    if (!(next <= rest.length)) return [...elements, rest.slice(from)];
    elements.push(rest.slice(from, next));
    from = next;
  }
}

// A frame from the server, RFC 6455 section 5.2: not masked, and here never over 65,535 bytes.

function isText(frame: string): boolean {
  return frame.charCodeAt(0) === 0x81;
}

function headerBytes(text: string, from: number): number {
  return text.charCodeAt(from + 1) === 126 ? 4 : 2;
}

function payloadBytes(text: string, from: number): number {
  const short = text.charCodeAt(from + 1);
  return short === 126 ? text.charCodeAt(from + 2) * 256 + text.charCodeAt(from + 3) : short;
}

function payloadOf(frame: string): string {
  return frame.slice(headerBytes(frame, 0));
}
