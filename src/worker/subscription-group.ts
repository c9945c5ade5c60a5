/** What a connection asks for together: a request of a client, or of a WebSocket among others. */

/** A WebSocket's request to subscribe, which is answered when the catch-up has ended. */
export interface SubscribeRequest {
  readonly names: string[];
  /** Its mark as JSON; '' where it has none. */
  readonly ref: string;
}

/** Channels that a connection asks for together; filled by `Streams.add`. */
export class SubscriptionGroup {
  readonly channels: number[] = [];
  /** One of them has its first subscriber in this worker: the manager has yet to hear of it. */
  fresh = false;
  readonly request: SubscribeRequest | null;

  constructor(request: SubscribeRequest | null) {
    this.request = request;
  }
}
