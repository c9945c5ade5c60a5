/**
 * What a manager may ask a worker beside the path of publications (ASK), and what comes back (ANSWER): who is on a channel,
 * end these connections, and so on. Both are JSON. A question is `{"op": …}` with what the operation needs.
 *
 * To add an operation: its entry in {@link QuestionMap}, the check of its answer in src/manager/answers.ts, and its handler in
 * src/worker/worker.ts. The compiler demands all three.
 */

/** Questions of one link that have no answer yet: of more, the worker says that it is busy. */
export const QUESTIONS_PENDING_MAX = 64;

/** Connections of one worker on one channel. */
export interface Occupancy {
  /** Subscribers, of all transports with cursors. */
  subscribers: number;
  /** Connections that wait for a message of the classic queue. */
  waiting: number;
}

export interface ChannelOccupancy extends Occupancy {
  channel: string;
}

/**
 * The first channels in the order of their names that somebody is on. Names are ordered by their UTF-16 units, as JavaScript compares
 * strings.
 */
export interface ChannelsPage {
  channels: ChannelOccupancy[];
  /** There are more behind the last of these. */
  more: boolean;
}

/** Who is on a channel: the first of its clients, in the order of their names. */
export interface PresencePage {
  clients: { client: string; connections: number }[];
  more: boolean;
  /** Of all clients together, and of those that are nobody in particular. */
  connections: number;
}

/** Ends all clients, spread over the time, and accepts no others. */
export interface DrainOrder {
  /** Over how long. */
  seconds: number;
  /** Clients are told to come back so long after their end. */
  returnAfterSeconds: number;
}

/** Why a client did or did not get a publication, in one of its stays at a worker. */
export type Outcome =
  /** It was handed to the kernel, or waits in the worker until the client reads. */
  | 'sent'
  /** It came with a cursor behind the publication, and said with that that it has it. */
  | 'had_it'
  /** It asked for what comes from a later time on. */
  | 'asked_for_later'
  /** It is still being sent what came before. */
  | 'catching_up'
  /** The worker has not been sent it yet. */
  | 'on_its_way'
  /** It left before it had been sent so much. */
  | 'left_while_catching_up'
  /** It was there, but not on the channel. */
  | 'not_subscribed';

/** One stay of a client at a worker, as far as it has to do with a publication. Times in milliseconds since 1970. */
export interface Visit {
  outcome: Outcome;
  /** When it asked for the channel, or came. */
  sinceMs: number;
  /** When and why it left; absent: it is there. */
  leftMs?: number;
  reason?: string;
  /** When the fan-out handed it out; absent where it was sent from the log. */
  sentMs?: number;
  /** What the client has yet to read, of this and what came behind it. */
  unreadBytes?: number;
}

/** What a worker knows of a publication. */
export interface WorkerTrace {
  /** Up to here the worker has seen everything. */
  position: number;
  /** What the fan-out did with it; null: it did not come that way, or too long ago. */
  delivery: { atMs: number; receivers: number; slow: number } | null;
  /** Since when the visits are known; null: since the worker began. */
  sinceMs: number | null;
  /** Of the client, oldest first. */
  visits: Visit[];
}

/** Each operation: what is asked, and what is answered. */
export interface QuestionMap {
  channels: {
    question: {
      /** Patterns (src/channel-pattern.ts), of which a channel matches one at least … */
      within: readonly string[];
      /** … and this one. */
      pattern: string;
      /** Only names behind this one in their order; empty: all. */
      after: string;
      limit: number;
    };
    answer: ChannelsPage;
  };
  presence: { question: { channel: string; after: string; limit: number }; answer: PresencePage };
  disconnect: {
    question: {
      /** A subject: its connections alone. */
      client: string | null;
      /** Who is on this channel alone. */
      channel: string | null;
      reason: string;
      reconnect: boolean;
      /** When to come back: each is told a time from this to twice this. */
      afterMs: number | null;
    };
    answer: { connections: number };
  };
  trace: {
    question: {
      /** A publication of this channel … */
      sequence: number;
      channel: string;
      /** … and a client whose part in it is asked for. */
      client: string | null;
    };
    answer: WorkerTrace;
  };
  occupancy: { question: { channel: string }; answer: Occupancy };
  /** Answered with the number of connections that there are at the beginning; STATS tell how it goes on. */
  drain: { question: DrainOrder; answer: { connections: number } };
}

export type Op = keyof QuestionMap;
/** What a question has beside its `op`. */
export type Question<O extends Op> = QuestionMap[O]['question'];
export type Answer<O extends Op> = QuestionMap[O]['answer'];

/** Why a worker does not answer. */
export type RefusalCode =
  /** Too many questions wait already. */
  | 'busy'
  /** The answer does not fit a frame. */
  | 'too_large'
  /** There is no such operation. */
  | 'unknown_op'
  /** The operation itself says why, in the message. */
  | 'refused';

/** What ANSWER carries in place of an answer: no answer has a field `refused`. */
export interface Refusal {
  refused: { code: RefusalCode; message: string };
}
