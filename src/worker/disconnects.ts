/**
 * Ends a client connection in whatever phase, and tells it why and when to come back (docs/protocol.md, "Disconnects"). One
 * function for all who end connections: a drain, a token that is over, an administrator.
 *
 * Nothing is lost by it: what was sent before stays in its place before the advice, a classic client's message stays queued, and
 * everybody else goes on from the cursor that he has or is given here.
 */

import { type DisconnectAdvice, retryAfterSeconds } from '../link/advice.js';
import { accessAnswer, isAccessCode } from '../transports/access.js';
import { unavailableAnswer } from '../transports/answers.js';
import type { ConnectionControl } from './connection-control.js';
import {
  type Connections,
  FLAG_CLOSES,
  PHASE_BODY,
  PHASE_FREE,
  PHASE_HEAD,
  PHASE_KEEP_ALIVE,
  PHASE_LINGERING,
  PHASE_POLLING,
  PHASE_PUBLISHING,
  PHASE_REFUSED,
  PHASE_STREAMING,
  PHASE_VERIFYING,
  PHASE_WAITING,
} from './connections.js';
import type { Streams } from './streams.js';

export class Disconnects {
  readonly #connections: Connections;
  readonly #control: ConnectionControl;
  readonly #streams: Streams;

  constructor(parts: {
    connections: Connections;
    control: ConnectionControl;
    streams: Streams;
  }) {
    this.#connections = parts.connections;
    this.#control = parts.control;
    this.#streams = parts.streams;
  }

  /**
   * Ends a connection with advice. One that publishes is answered first, and one that a message is on its way to gets it whole:
   * these end with their answer. One that lingers or is free is left alone.
   */
  disconnect(connection: number, advice: DisconnectAdvice): void {
    const { phase, flags } = this.#connections;
    if (phase[connection] !== PHASE_FREE && phase[connection] !== PHASE_LINGERING) this.#control.countEnd(advice.code);
    switch (phase[connection]) {
      case PHASE_HEAD:
        // Nobody has asked for anything yet: the end is the answer, as when an idle connection is closed.
        if (this.#connections.partial(connection) === undefined) this.#control.linger(connection);
        else this.#refuse(connection, advice);
        break;
      case PHASE_KEEP_ALIVE:
      case PHASE_REFUSED:
        // Its next request may be on its way: it is not to meet a reset.
        this.#control.linger(connection);
        break;
      case PHASE_VERIFYING:
      case PHASE_WAITING:
        this.#refuse(connection, advice);
        break;
      case PHASE_POLLING:
        flags[connection] |= FLAG_CLOSES;
        this.#streams.pollTimedOut(connection, advice);
        break;
      case PHASE_STREAMING:
        if (!this.#streams.isOpen(connection)) this.#refuse(connection, advice);
        else this.#streams.disconnect(connection, advice);
        break;
      case PHASE_BODY:
      case PHASE_PUBLISHING:
        flags[connection] |= FLAG_CLOSES;
        break;
      default:
      // PHASE_SENDING ends with its message, PHASE_LINGERING by itself.
    }
  }

  #refuse(connection: number, { code, reason, afterMs }: DisconnectAdvice): void {
    const retryAfterS = retryAfterSeconds(afterMs);
    const error = { code, message: reason };
    const answer = isAccessCode(error)
      ? accessAnswer(error, false, retryAfterS, Date.now())
      : unavailableAnswer(error, retryAfterS, Date.now());
    this.#control.answer(connection, answer, false);
  }
}
