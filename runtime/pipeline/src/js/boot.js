// Sets up the globals of a script and returns the one function through which Rust drives it.
//
// `host` is the list of everything that the outside offers; it is never reachable from a script.
(function (host) {
  "use strict";

  const stringify = JSON.stringify;
  const then = Promise.prototype.then;
  const wellFormed = (text) => String(text).toWellFormed();
  // Bytes as a text of characters below 256, which is how Rust takes them.
  const binary = (bytes) => {
    let text = "";
    for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
    return text;
  };
  const internal = { stringify, wellFormed, binary };

  // --- errors -------------------------------------------------------------------------------

  const inner = "brigantine:";
  const shifts = new Map(); // by how much the first line of a file is shifted by what is before it

  const compiled = new Set(); // files whose places are found by their source maps

  Error.stackTraceLimit = 20;
  Error.prepareStackTrace = function (error, sites) {
    let text;
    try {
      text = Error.prototype.toString.call(error);
    } catch {
      text = "Error";
    }
    let between = ""; // native functions, which are of interest only if the script called them
    for (const site of sites) {
      const file = site.getFileName();
      if (typeof file === "string" && file.startsWith(inner)) {
        between = "";
        continue;
      }
      const name = site.getFunctionName();
      if (site.isNative() || typeof file !== "string") {
        if (name) between += `\n    at ${name} (native)`;
        continue;
      }
      text += between;
      between = "";
      const line = site.getLineNumber();
      let column = site.getColumnNumber();
      if (line === 1) column = Math.max(1, column - (shifts.get(file) ?? 0));
      const place = `${file}:${compiled.has(file) ? host.place(file, line, column) : `${line}:${column}`}`;
      text += name && name !== "<anonymous>" ? `\n    at ${name} (${place})` : `\n    at ${place}`;
    }
    return text;
  };

  // What an uncaught value is printed as: its stack where it has one.
  function explain(reason) {
    try {
      if (reason instanceof Error) {
        const head = Error.prototype.toString.call(reason);
        const stack = typeof reason.stack === "string" ? reason.stack : "";
        if (stack.includes(head)) return wellFormed(stack);
        const frames = stack.indexOf("\n    at ");
        return wellFormed(frames < 0 ? head : head + stack.slice(frames));
      }
      if (typeof reason === "string") return wellFormed(reason);
      return wellFormed(builtin("util").inspect(reason));
    } catch {
      return "an error that cannot be printed; the script may be out of memory";
    }
  }
  internal.explain = explain;

  // --- modules ------------------------------------------------------------------------------

  // What of the built-in modules is made here.
  const modules = host.builtin("modules")(host, internal, (name) => {
    switch (name) {
      case "console":
        return console;
      case "process":
        return process;
      case "timers":
        return { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate };
      default:
        return undefined;
    }
  });
  const { builtin } = modules;
  internal.builtin = builtin;
  internal.canonical = modules.canonical;

  // --- timers -------------------------------------------------------------------------------

  const timers = new Map();
  let lastTimer = 0;

  class Timeout {
    constructor(id) {
      this.id = id;
    }
    ref() {
      host.hold(this.id, true);
      return this;
    }
    unref() {
      host.hold(this.id, false);
      return this;
    }
    hasRef() {
      return timers.has(this.id);
    }
    close() {
      clear(this);
      return this;
    }
    [Symbol.toPrimitive]() {
      return this.id;
    }
  }

  function arm(callback, delay, args, repeat) {
    if (typeof callback !== "function") {
      throw new TypeError(`The "callback" argument must be of type function. Received ${typeof callback}`);
    }
    const id = ++lastTimer;
    host.timer(id, delay);
    timers.set(id, { callback, args, delay, repeat });
    return new Timeout(id);
  }

  function clear(timer) {
    const id = timer instanceof Timeout ? timer.id : Number(timer);
    if (timers.delete(id)) host.clear(id);
  }

  const atLeastOne = (delay) => {
    const number = Number(delay);
    return number >= 1 && number <= 2147483647 ? Math.trunc(number) : 1;
  };

  function setTimeout(callback, delay, ...args) {
    return arm(callback, atLeastOne(delay), args, false);
  }
  function setInterval(callback, delay, ...args) {
    return arm(callback, atLeastOne(delay), args, true);
  }
  function setImmediate(callback, ...args) {
    return arm(callback, 0, args, false);
  }
  function clearTimeout(timer) {
    clear(timer);
  }
  function clearInterval(timer) {
    clear(timer);
  }
  function clearImmediate(timer) {
    clear(timer);
  }

  function ring(id) {
    const timer = timers.get(id);
    if (!timer) return;
    if (timer.repeat) host.timer(id, timer.delay);
    else timers.delete(id);
    timer.callback(...timer.args);
  }

  const enqueue = globalThis.queueMicrotask;
  function queueMicrotask(callback) {
    if (typeof callback !== "function") {
      throw new TypeError(`The "callback" argument must be of type function. Received ${typeof callback}`);
    }
    enqueue(() => guarded(callback));
  }

  // --- the clock ------------------------------------------------------------------------------

  // It is the build's own: the same in every evaluation, and moved only by what is delivered.
  const monotonic = () => (host.clock() - host.began) * 1e6;
  const NativeDate = Date;
  NativeDate.now = function now() {
    return host.clock();
  };
  globalThis.Date = NativeDate.prototype.constructor = new Proxy(NativeDate, {
    construct: (target, args, self) => Reflect.construct(target, args.length === 0 ? [host.clock()] : args, self),
    apply: () => new NativeDate(host.clock()).toString(),
  });
  globalThis.performance = { now: () => monotonic() / 1e6, timeOrigin: host.began };

  // --- what goes wrong ------------------------------------------------------------------------

  const rejected = new Map(); // promise -> reason, not yet handled by anybody
  const uncaught = []; // [reason, trigger]

  function guarded(callback, ...args) {
    try {
      callback(...args);
    } catch (error) {
      uncaught.push([error, "uncaughtException"]);
    }
  }
  internal.guarded = guarded;
  internal.raise = (reason, trigger) => uncaught.push([reason, trigger]);

  // --- process and console --------------------------------------------------------------------

  const EventEmitter = builtin("events");

  const out = (stream) => ({
    write(chunk) {
      host.write(stream, wellFormed(typeof chunk === "string" ? chunk : builtin("buffer").Buffer.from(chunk)));
      return true;
    },
    isTTY: false,
    columns: undefined,
    fd: stream,
  });

  const process = Object.create(EventEmitter.prototype);
  EventEmitter.call(process);
  Object.assign(process, {
    title: "brigantine",
    argv: ["node", `${host.root}/${host.script}`],
    argv0: "node",
    execArgv: [],
    exitCode: undefined,
    pid: 1,
    platform: "linux",
    arch: host.arch,
    version: "v12.22.7",
    versions: { node: "12.22.7" },
    release: { name: "node" },
    env: Object.assign({}, JSON.parse(host.environment)),
    stdout: out(1),
    stderr: out(2),
    cwd: () => host.root,
    exit(code) {
      const number = code === undefined ? process.exitCode : code;
      host.exit(Number.isInteger(Number(number)) ? Number(number) & 255 : 0);
      for (;;); // the host ends this loop, and the script with it
    },
    abort() {
      process.exit(134);
    },
    nextTick(callback, ...args) {
      if (typeof callback !== "function") {
        throw new TypeError(`The "callback" argument must be of type function. Received ${typeof callback}`);
      }
      enqueue(() => guarded(callback, ...args));
    },
    hrtime: Object.assign(
      function hrtime(since) {
        const now = monotonic();
        let seconds = Math.floor(now / 1e9);
        let nanoseconds = now % 1e9;
        if (since) {
          seconds -= since[0];
          nanoseconds -= since[1];
          if (nanoseconds < 0) {
            seconds -= 1;
            nanoseconds += 1e9;
          }
        }
        return [seconds, nanoseconds];
      },
      { bigint: () => BigInt(monotonic()) },
    ),
    uptime: () => monotonic() / 1e9,
    memoryUsage: () => ({ rss: 0, heapTotal: 0, heapUsed: 0, external: 0, arrayBuffers: 0 }),
    emitWarning(warning) {
      console.error(`Warning: ${warning}`);
    },
  });

  let indentation = "";
  const simple = (args) => {
    if (args.length === 1 && typeof args[0] === "string") return args[0];
    return builtin("util").format(...args);
  };
  function print(level, args) {
    let text = simple(args);
    if (indentation) text = indentation + text.replaceAll("\n", "\n" + indentation);
    host.print(level, wellFormed(text));
  }
  const counts = new Map();
  const clocks = new Map();
  const elapsed = (label) => {
    const start = clocks.get(label);
    if (start === undefined) return undefined;
    const milliseconds = (monotonic() - start) / 1e6;
    return milliseconds >= 1000 ? `${(milliseconds / 1000).toFixed(3)}s` : `${milliseconds.toFixed(3)}ms`;
  };
  const console = {
    log: (...args) => print("log", args),
    info: (...args) => print("info", args),
    debug: (...args) => print("debug", args),
    warn: (...args) => print("warn", args),
    error: (...args) => print("error", args),
    trace(...args) {
      const error = new Error(args.length ? simple(args) : "");
      error.name = "Trace";
      const frames = error.stack.indexOf("\n    at ");
      const head = Error.prototype.toString.call(error);
      print("error", [frames < 0 ? head : head + error.stack.slice(frames)]);
    },
    dir(value, options) {
      print("log", [builtin("util").inspect(value, { customInspect: false, ...options })]);
    },
    dirxml: (...args) => print("log", args),
    table(value) {
      print("log", [value]);
    },
    assert(condition, ...args) {
      if (condition) return;
      if (typeof args[0] === "string") args[0] = `Assertion failed: ${args[0]}`;
      else args.unshift("Assertion failed");
      print("warn", args);
    },
    group(...args) {
      if (args.length) print("log", args);
      if (indentation.length < 40) indentation += "  ";
    },
    groupCollapsed: (...args) => console.group(...args),
    groupEnd() {
      indentation = indentation.slice(2);
    },
    count(label = "default") {
      const count = (counts.get(`${label}`) ?? 0) + 1;
      counts.set(`${label}`, count);
      print("log", [`${label}: ${count}`]);
    },
    countReset(label = "default") {
      counts.delete(`${label}`);
    },
    time(label = "default") {
      clocks.set(`${label}`, monotonic());
    },
    timeLog(label = "default", ...args) {
      const time = elapsed(`${label}`);
      if (time !== undefined) print("log", [`${label}: ${time}`, ...args]);
    },
    timeEnd(label = "default") {
      console.timeLog(label);
      clocks.delete(`${label}`);
    },
  };

  // --- globals --------------------------------------------------------------------------------

  // The same numbers in every evaluation of a build: what a replay names, it names the same.
  let [s0, s1, s2, s3] = host.seed;
  const random = function random() {
    const t = (s1 << 9) >>> 0;
    const mixed = Math.imul(s1, 5);
    const result = Math.imul((mixed << 7) | (mixed >>> 25), 9) >>> 0;
    s2 ^= s0;
    s3 ^= s1;
    s1 ^= s2;
    s0 ^= s3;
    s2 ^= t;
    s3 = (s3 << 11) | (s3 >>> 21);
    return result / 4294967296;
  };
  Object.defineProperty(Math, "random", { value: random, writable: true, configurable: true, enumerable: false });

  const put = (name, value) =>
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
  const later = (name, module, key = name) =>
    Object.defineProperty(globalThis, name, {
      get() {
        const value = key === null ? builtin(module) : builtin(module)[key];
        put(name, value);
        return value;
      },
      set(value) {
        put(name, value);
      },
      configurable: true,
      enumerable: false,
    });

  put("global", globalThis);
  put("console", console);
  put("process", process);
  put("setTimeout", setTimeout);
  put("setInterval", setInterval);
  put("setImmediate", setImmediate);
  put("clearTimeout", clearTimeout);
  put("clearInterval", clearInterval);
  put("clearImmediate", clearImmediate);
  put("queueMicrotask", queueMicrotask);
  later("Buffer", "buffer");
  later("URL", "url");
  later("URLSearchParams", "url");
  later("TextEncoder", "util");
  later("TextDecoder", "util");
  later("structuredClone", "util");
  later("atob", "buffer");
  later("btoa", "buffer");
  later("crypto", "crypto", "webcrypto");
  later("AbortController", "abort");
  later("AbortSignal", "abort");
  later("Event", "abort");
  later("EventTarget", "abort");
  later("babelHelpers", "decorators", null); // what TypeScript's decorators become

  // --- how Rust drives a script -----------------------------------------------------------------

  const app = builtin("brigadier")[Symbol.for("brigantine.app")];
  delete builtin("brigadier")[Symbol.for("brigantine.app")];

  // What is still unhandled once the microtasks have run, and has not been told yet.
  function failures() {
    const found = uncaught.splice(0);
    for (const [promise, reason] of rejected) {
      rejected.delete(promise);
      found.push([reason, "unhandledRejection", promise]);
    }
    return found;
  }

  let loading = false;
  let thrown = null;

  const actions = {
    ...modules.actions,
    compiled: (path) => void compiled.add(path),
    wrapped: (path, length) => void shifts.set(path, length),
    // A promise that is nobody's.
    handled(promise) {
      rejected.delete(promise);
      then.call(promise, () => {}, () => {});
    },
    // A module that awaits something at its top is loaded when that has come.
    loading(promise) {
      loading = true;
      then.call(
        promise,
        () => {
          loading = false;
        },
        (error) => {
          loading = false;
          thrown = explain(error);
        },
      );
    },
    fire: (name) => app.fire(name),
    settle: (id, ok, text, details) => app.settle(id, ok, text, details),
    logs: (token, ok, text) => app.logs(token, ok, text),
    timer: (id) => guarded(ring, id),
    rejection(promise, reason, handled) {
      if (handled) rejected.delete(promise);
      else rejected.set(promise, reason);
    },
    // Reports what went wrong since it was asked last; the answer is the number of failures.
    review() {
      const found = failures();
      for (const [reason, trigger, promise] of found) {
        host.log("error", "app", explain(reason));
        if (trigger === "unhandledRejection" && process.listenerCount(trigger) > 0) {
          guarded(() => process.emit(trigger, reason, promise));
        }
        app.fail(reason, trigger);
      }
      return found.length;
    },
    after: (name) => app.after(name),
    cancel: (reason) => app.fail(new Error(reason), "cancelled"),
    explain,
    state: () => stringify({ ...app.state(), loading, thrown, watches: process.listenerCount("unhandledRejection") > 0, exitCode: Number.isInteger(process.exitCode) ? process.exitCode & 255 : null }),
  };
  return (action, ...args) => actions[action](...args);
});
