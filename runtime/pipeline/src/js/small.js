// The built-in modules that take a few lines each.
({
  crypto(host, internal, builtin, module) {
    "use strict";
    const { Buffer } = builtin("buffer");
    const bytesOf = (value, encoding) => (typeof value === "string" ? Buffer.from(value, encoding) : Buffer.from(value));

    class Hash {
      #name;
      #key;
      #parts = [];
      #done = false;
      constructor(name, key) {
        this.#name = String(name).toLowerCase().replace("-", "");
        this.#key = key === undefined ? undefined : bytesOf(key);
        host.digest(this.#name, ""); // so that an unknown name fails here
      }
      update(value, encoding) {
        if (this.#done) throw new Error("Digest already called");
        this.#parts.push(bytesOf(value, encoding));
        return this;
      }
      digest(encoding) {
        if (this.#done) throw new Error("Digest already called");
        this.#done = true;
        const whole = internal.binary(Buffer.concat(this.#parts));
        const digest =
          this.#key === undefined
            ? Buffer.from(host.digest(this.#name, whole))
            : Buffer.from(host.digest(this.#name, whole, internal.binary(this.#key)));
        return encoding ? digest.toString(encoding) : digest;
      }
    }
    const randomBytes = (size) => Buffer.from(host.random(size));
    const randomUUID = () => {
      const bytes = host.random(16);
      bytes[6] = (bytes[6] & 0x0f) | 0x40;
      bytes[8] = (bytes[8] & 0x3f) | 0x80;
      return Buffer.from(bytes).toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
    };
    module.exports = {
      createHash: (name) => new Hash(name),
      createHmac: (name, key) => new Hash(name, key),
      getHashes: () => ["sha1", "sha256", "sha384", "sha512"],
      randomBytes,
      randomUUID,
      randomInt(min, max) {
        const [low, high] = max === undefined ? [0, min] : [min, max];
        return low + (randomBytes(6).reduce((sum, byte) => sum * 256 + byte, 0) % (high - low));
      },
      timingSafeEqual(left, right) {
        if (left.byteLength !== right.byteLength) throw new RangeError("Input buffers must have the same byte length");
        let difference = 0;
        for (let index = 0; index < left.byteLength; index += 1) difference |= left[index] ^ right[index];
        return difference === 0;
      },
    };
    Object.defineProperty(module.exports, "webcrypto", {
      enumerable: false,
      value: {
        randomUUID,
        getRandomValues(array) {
          const bytes = host.random(array.byteLength);
          new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(bytes);
          return array;
        },
      },
    });
  },

  os(host, internal, builtin, module) {
    "use strict";
    module.exports = {
      EOL: "\n",
      devNull: "/dev/null",
      platform: () => "linux",
      type: () => "Linux",
      release: () => "",
      version: () => "",
      machine: () => (host.arch === "arm64" ? "aarch64" : "x86_64"),
      arch: () => host.arch,
      endianness: () => "LE",
      hostname: () => "brigantine",
      homedir: () => "/",
      tmpdir: () => "/tmp",
      cpus: () => [],
      availableParallelism: () => 1,
      loadavg: () => [0, 0, 0],
      freemem: () => 0,
      totalmem: () => 0,
      uptime: () => process.uptime(),
      networkInterfaces: () => ({}),
      userInfo: () => ({ uid: 0, gid: 0, username: "brigantine", homedir: "/", shell: null }),
      constants: { signals: { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 }, errno: {} },
    };
  },

  "fs/promises"(host, internal, builtin, module) {
    "use strict";
    module.exports = builtin("fs").promises;
  },

  // Signals that something is to be stopped. Nothing of a job stops by one: a script tells the job.
  abort(host, internal, builtin, module) {
    "use strict";
    class Event {
      constructor(type, options = {}) {
        this.type = String(type);
        this.cancelable = Boolean(options.cancelable);
        this.defaultPrevented = false;
        this.target = null;
      }
      preventDefault() {
        this.defaultPrevented = this.cancelable;
      }
    }
    class EventTarget {
      #listeners = new Map();
      addEventListener(type, listener, options) {
        const all = this.#listeners.get(type) ?? [];
        if (!listener || all.some((entry) => entry.listener === listener)) return;
        this.#listeners.set(type, [...all, { listener, once: Boolean(options?.once) }]);
      }
      removeEventListener(type, listener) {
        this.#listeners.set(type, (this.#listeners.get(type) ?? []).filter((entry) => entry.listener !== listener));
      }
      dispatchEvent(event) {
        event.target = this;
        for (const { listener, once } of this.#listeners.get(event.type) ?? []) {
          if (once) this.removeEventListener(event.type, listener);
          internal.guarded(() => (typeof listener === "function" ? listener.call(this, event) : listener.handleEvent(event)));
        }
        const handler = this[`on${event.type}`];
        if (typeof handler === "function") internal.guarded(() => handler.call(this, event));
        return !event.defaultPrevented;
      }
    }
    const named = (name, message) => Object.assign(new Error(message), { name, code: name === "AbortError" ? 20 : 23 });
    const key = Symbol("abort");
    class AbortSignal extends EventTarget {
      aborted = false;
      reason = undefined;
      onabort = null;
      throwIfAborted() {
        if (this.aborted) throw this.reason;
      }
      [key](reason = named("AbortError", "This operation was aborted")) {
        if (this.aborted) return;
        this.aborted = true;
        this.reason = reason;
        this.dispatchEvent(new Event("abort"));
      }
      static abort(reason) {
        const signal = new AbortSignal();
        signal[key](reason);
        return signal;
      }
      static timeout(delay) {
        const signal = new AbortSignal();
        setTimeout(() => signal[key](named("TimeoutError", "The operation was aborted due to timeout")), delay).unref();
        return signal;
      }
      static any(signals) {
        const signal = new AbortSignal();
        for (const each of signals) {
          if (each.aborted) signal[key](each.reason);
          else each.addEventListener("abort", () => signal[key](each.reason), { once: true });
        }
        return signal;
      }
    }
    class AbortController {
      signal = new AbortSignal();
      abort(reason) {
        this.signal[key](reason);
      }
    }
    module.exports = { AbortController, AbortSignal, Event, EventTarget };
  },

  "util/types"(host, internal, builtin, module) {
    "use strict";
    module.exports = builtin("util").types;
  },

  perf_hooks(host, internal, builtin, module) {
    "use strict";
    module.exports = { performance: globalThis.performance };
  },

  // What one function was called for is not followed to the next: there are no hooks, and a store
  // is there while the function runs that it was made for.
  async_hooks(host, internal, builtin, module) {
    "use strict";
    class AsyncLocalStorage {
      #store;
      run(store, action, ...args) {
        const before = this.#store;
        this.#store = store;
        try {
          return action(...args);
        } finally {
          this.#store = before;
        }
      }
      exit(action, ...args) {
        return this.run(undefined, action, ...args);
      }
      enterWith(store) {
        this.#store = store;
      }
      getStore() {
        return this.#store;
      }
      disable() {
        this.#store = undefined;
      }
    }
    module.exports = { AsyncLocalStorage };
  },

  tty(host, internal, builtin, module) {
    "use strict";
    module.exports = { isatty: () => false };
  },

  string_decoder(host, internal, builtin, module) {
    "use strict";
    const { Buffer } = builtin("buffer");
    // Keeps the bytes of a letter that is not whole yet.
    class StringDecoder {
      #rest = Buffer.alloc(0);
      constructor(encoding = "utf8") {
        if (!Buffer.isEncoding(encoding)) throw new TypeError(`Unknown encoding: ${encoding}`);
        this.encoding = String(encoding).toLowerCase().replace(/^utf-8$/, "utf8").replace(/^(ucs-?2|utf-16le)$/, "utf16le");
      }
      #whole(bytes) {
        if (this.encoding === "utf16le") return bytes.length - (bytes.length % 2);
        if (this.encoding === "base64") return bytes.length - (bytes.length % 3);
        if (this.encoding !== "utf8") return bytes.length;
        for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
          const byte = bytes[bytes.length - back];
          if ((byte & 0xc0) === 0x80) continue;
          const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
          return length > back ? bytes.length - back : bytes.length;
        }
        return bytes.length;
      }
      write(chunk) {
        if (typeof chunk === "string") return chunk;
        const bytes = Buffer.concat([this.#rest, Buffer.from(chunk)]);
        const end = this.#whole(bytes);
        this.#rest = bytes.subarray(end);
        return bytes.subarray(0, end).toString(this.encoding);
      }
      end(chunk) {
        const text = chunk === undefined ? "" : this.write(chunk);
        const rest = this.#rest.toString(this.encoding);
        this.#rest = Buffer.alloc(0);
        return text + rest;
      }
    }
    module.exports = { StringDecoder };
  },

  // What a compiler of TypeScript leaves of decorators: functions that are called with a class, or
  // with one of its members.
  decorators(host, internal, builtin, module) {
    "use strict";
    module.exports = {
      decorate(decorators, target, key, description) {
        const member = arguments.length > 2;
        let result = target;
        if (member) result = description === null ? Object.getOwnPropertyDescriptor(target, key) : description;
        for (let index = decorators.length - 1; index >= 0; index -= 1) {
          const decorator = decorators[index];
          if (!decorator) continue;
          const changed = member ? decorator(target, key, result) : decorator(result);
          result = changed || result;
        }
        if (member && result) Object.defineProperty(target, key, result);
        return result;
      },
      decorateParam: (index, decorator) => (target, key) => decorator(target, key, index),
      decorateMetadata: () => undefined,
    };
  },

  querystring(host, internal, builtin, module) {
    "use strict";
    module.exports = {
      parse(text) {
        const parsed = Object.create(null);
        for (const [key, value] of new URLSearchParams(text)) {
          if (key in parsed) parsed[key] = [].concat(parsed[key], value);
          else parsed[key] = value;
        }
        return parsed;
      },
      stringify: (values) =>
        Object.entries(values)
          .flatMap(([key, value]) => [].concat(value).map((each) => `${encodeURIComponent(key)}=${encodeURIComponent(each)}`))
          .join("&"),
      escape: encodeURIComponent,
      unescape: decodeURIComponent,
    };
  },

  "timers/promises"(host, internal, builtin, module) {
    "use strict";
    module.exports = {
      setTimeout: (delay, value) => new Promise((resolve) => setTimeout(resolve, delay, value)),
      setImmediate: (value) => new Promise((resolve) => setImmediate(resolve, value)),
    };
  },
});
