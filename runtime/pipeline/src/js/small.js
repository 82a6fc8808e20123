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

  // What is in the repository, to read.
  fs(host, internal, builtin, module) {
    "use strict";
    const missing = (path) => host.file(String(path));
    const fs = {
      readFileSync(path, options) {
        const bytes = builtin("buffer").Buffer.from(missing(path));
        const encoding = typeof options === "string" ? options : options?.encoding;
        return encoding ? bytes.toString(encoding) : bytes;
      },
      existsSync: (path) => host.kind(String(path)) !== "",
      readdirSync: (path) => JSON.parse(host.list(String(path))),
      statSync(path) {
        const kind = host.kind(String(path));
        if (kind === "") missing(path);
        return {
          isFile: () => kind === "file",
          isDirectory: () => kind === "directory",
          isSymbolicLink: () => false,
          size: kind === "file" ? missing(path).length : 0,
        };
      },
      accessSync(path) {
        if (host.kind(String(path)) === "") missing(path);
      },
    };
    fs.lstatSync = fs.statSync;
    const later = (action) => async (...args) => action(...args);
    fs.promises = {
      readFile: later(fs.readFileSync),
      readdir: later(fs.readdirSync),
      stat: later(fs.statSync),
      access: later(fs.accessSync),
    };
    for (const [name, action] of Object.entries({ readFile: fs.readFileSync, readdir: fs.readdirSync, stat: fs.statSync })) {
      fs[name] = (...args) => {
        const callback = args.pop();
        later(action)(...args).then((value) => callback(null, value), callback);
      };
    }
    for (const name of ["writeFile", "appendFile", "mkdir", "unlink", "rm", "rmdir", "rename", "copyFile", "chmod"]) {
      fs[`${name}Sync`] = () => {
        throw new Error(`fs.${name} is not there: a script reads the repository, and writes nothing. Write in a job.`);
      };
      fs[name] = (...args) => {
        const callback = args.at(-1);
        try {
          fs[`${name}Sync`]();
        } catch (error) {
          if (typeof callback !== "function") throw error;
          queueMicrotask(() => callback(error));
        }
      };
      fs.promises[name] = async () => fs[`${name}Sync`]();
    }
    module.exports = fs;
  },

  os(host, internal, builtin, module) {
    "use strict";
    module.exports = {
      EOL: "\n",
      platform: () => "linux",
      type: () => "Linux",
      arch: () => host.arch,
      hostname: () => "brigantine",
      homedir: () => "/",
      tmpdir: () => "/tmp",
      cpus: () => [],
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
