/**
 * Send buffers: encoded bytes, shared by all the connections that they are sent to.
 *
 * Where their memory comes from is the reactor's affair: the kernel is given addresses, which only memory outside the
 * JavaScript heap has for good; Node's sockets take views of ordinary array buffers.
 *
 * A buffer is a *handle*, a small int, with a reference count. Up to 64 KiB it is a block of one of nine size classes
 * (256 bytes, doubling), carved one after another from chunks of 1 MiB and never given back to the kernel: what was
 * needed once at a peak will be needed again, and a chunk costs no memory before it is touched. A block keeps its handle
 * for ever; a free one is linked to the next free one of its class. Anything larger has a mapping of its own, which ends
 * with its last reference.
 *
 * Invariants: references[h] > 0 exactly while h is in use; next[h] is meaningful only while it is not. To release a
 * handle that is not in use is a bug and throws.
 */

/** A piece of memory that blocks lie in. */
export interface MemoryBlock {
  readonly bytes: Uint8Array;
  /** Of `bytes[0]`, for system calls; 0 where it has no lasting address. */
  readonly address: number;
}

/** Where memory comes from. */
export interface BufferMemory {
  /** Its addresses may be given to the kernel. */
  readonly native: boolean;
  /** @throws SystemError ENOMEM */
  map(byteLength: number): MemoryBlock;
  /** Nobody uses the block any more. */
  unmap(block: MemoryBlock): void;
}

/** Array buffers: a view that is still used keeps its buffer alive. */
export const HEAP_MEMORY: BufferMemory = {
  native: false,
  map: (byteLength) => ({ bytes: new Uint8Array(byteLength), address: 0 }),
  unmap: () => undefined,
};

const CLASS_BYTES_MIN_LOG2 = 8;
const CLASS_COUNT = 9;
const CLASS_BYTES_MAX = 1 << (CLASS_BYTES_MIN_LOG2 + CLASS_COUNT - 1);
const CHUNK_BYTES = 1 << 20;
/** The class of a handle that has a mapping of its own. The handles without one are linked like any free block. */
const OWN_MAPPING = CLASS_COUNT;
const NONE = -1;

export class SendBuffers {
  #addresses = new Float64Array(64);
  #lengths = new Uint32Array(64);
  #references = new Int32Array(64);
  #next = new Int32Array(64);
  #classes = new Uint8Array(64);
  /** Memory that a handle's block lies in: its chunk, or its own mapping. */
  readonly #memory: (MemoryBlock | undefined)[] = [];
  /** First free handle of each class. */
  readonly #free = new Int32Array(CLASS_COUNT + 1).fill(NONE);
  #handleCount = 0;

  /** The chunk that blocks are carved from now, and how many of its bytes are taken. */
  #chunk: MemoryBlock | undefined;
  #carved = 0;
  #liveBytes = 0;
  readonly #source: BufferMemory;

  constructor(source: BufferMemory = HEAP_MEMORY) {
    this.#source = source;
  }

  /** `address` is one that system calls take. */
  get native(): boolean {
    return this.#source.native;
  }

  /** Bytes that buffers in use occupy: each as large as its class, the largest as large as they are. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /**
   * A buffer of `length` bytes, with one reference, its contents undefined.
   *
   * @throws SystemError ENOMEM
   */
  allocate(length: number): number {
    if (!Number.isInteger(length) || length <= 0) throw new RangeError(`a buffer of ${length} bytes`);
    const sizeClass = classOf(length);
    // Memory first: where there is none, map throws and no handle is lost.
    const mapping = sizeClass === OWN_MAPPING ? this.#source.map(length) : undefined;
    let handle = this.#free[sizeClass];
    if (handle !== NONE) this.#free[sizeClass] = this.#next[handle];
    else handle = this.#newHandle(sizeClass);
    if (mapping !== undefined) {
      this.#memory[handle] = mapping;
      this.#addresses[handle] = mapping.address;
    }
    this.#lengths[handle] = length;
    this.#references[handle] = 1;
    this.#liveBytes += sizeOf(sizeClass, length);
    return handle;
  }

  /** A buffer with a copy of `bytes`, at least one, with one reference. @throws SystemError ENOMEM */
  copyOf(bytes: Uint8Array): number {
    const handle = this.allocate(bytes.length);
    this.bytes(handle).set(bytes);
    return handle;
  }

  /** The bytes of a buffer, exactly its length, to fill before it is sent. The view ends with the last reference. */
  bytes(handle: number): Uint8Array {
    if (!(this.#references[handle] > 0)) throw notInUse(handle);
    const memory = this.#memory[handle]!;
    const offset = this.#addresses[handle] - memory.address;
    return memory.bytes.subarray(offset, offset + this.#lengths[handle]);
  }

  /** Address of the first byte, for system calls; of no meaning unless `native`. */
  address(handle: number): number {
    return this.#addresses[handle];
  }

  /** Length in bytes, as it was asked for. */
  length(handle: number): number {
    return this.#lengths[handle];
  }

  /** One reference more. */
  retain(handle: number): void {
    if (!(this.#references[handle] > 0)) throw notInUse(handle);
    this.#references[handle]++;
  }

  /** One reference less; the last one frees the buffer. */
  release(handle: number): void {
    if (!(this.#references[handle] > 0)) throw notInUse(handle);
    if (--this.#references[handle] > 0) return;
    const sizeClass = this.#classes[handle];
    this.#liveBytes -= sizeOf(sizeClass, this.#lengths[handle]);
    if (sizeClass === OWN_MAPPING) {
      this.#source.unmap(this.#memory[handle]!);
      this.#memory[handle] = undefined;
    }
    this.#next[handle] = this.#free[sizeClass];
    this.#free[sizeClass] = handle;
  }

  #newHandle(sizeClass: number): number {
    if (this.#handleCount === this.#references.length) this.#grow();
    if (sizeClass !== OWN_MAPPING) this.#carve(this.#handleCount, sizeOf(sizeClass, 0));
    const handle = this.#handleCount++;
    this.#classes[handle] = sizeClass;
    return handle;
  }

  #carve(handle: number, byteLength: number): void {
    let chunk = this.#chunk;
    if (chunk === undefined || this.#carved + byteLength > CHUNK_BYTES) {
      chunk = this.#source.map(CHUNK_BYTES);
      this.#chunk = chunk;
      this.#carved = 0;
    }
    this.#memory[handle] = chunk;
    this.#addresses[handle] = chunk.address + this.#carved;
    this.#carved += byteLength;
  }

  #grow(): void {
    const count = this.#references.length * 2;
    const addresses = new Float64Array(count);
    addresses.set(this.#addresses);
    this.#addresses = addresses;
    const lengths = new Uint32Array(count);
    lengths.set(this.#lengths);
    this.#lengths = lengths;
    const references = new Int32Array(count);
    references.set(this.#references);
    this.#references = references;
    const next = new Int32Array(count);
    next.set(this.#next);
    this.#next = next;
    const classes = new Uint8Array(count);
    classes.set(this.#classes);
    this.#classes = classes;
  }
}

function notInUse(handle: number): Error {
  return new Error(`buffer ${handle} is not in use: a bug of the caller`);
}

/** The smallest class that holds so many bytes. */
function classOf(length: number): number {
  if (length > CLASS_BYTES_MAX) return OWN_MAPPING;
  return Math.max(0, 32 - Math.clz32(length - 1) - CLASS_BYTES_MIN_LOG2);
}

function sizeOf(sizeClass: number, length: number): number {
  return sizeClass === OWN_MAPPING ? length : 1 << (CLASS_BYTES_MIN_LOG2 + sizeClass);
}
