// Node's `events`: the emitter that everything else is made of.
(function (host, internal, builtin, module) {
  "use strict";

  const listeners = new WeakMap(); // emitter -> Map(name -> [{ listener, once }])

  const of = (emitter) => {
    let map = listeners.get(emitter);
    if (!map) listeners.set(emitter, (map = new Map()));
    return map;
  };

  const add = (emitter, name, listener, once, first) => {
    if (typeof listener !== "function") {
      throw new TypeError(`The "listener" argument must be of type function. Received ${listener === null ? "null" : typeof listener}`);
    }
    const map = of(emitter);
    if (map.has("newListener")) emitter.emit("newListener", name, listener);
    const list = map.get(name);
    const entry = { listener, once };
    if (!list) map.set(name, [entry]);
    else if (first) list.unshift(entry);
    else list.push(entry);
    return emitter;
  };

  function EventEmitter() {
    of(this);
  }
  Object.setPrototypeOf(EventEmitter, Function.prototype);

  const methods = {
    on(name, listener) {
      return add(this, name, listener, false, false);
    },
    addListener(name, listener) {
      return add(this, name, listener, false, false);
    },
    prependListener(name, listener) {
      return add(this, name, listener, false, true);
    },
    once(name, listener) {
      return add(this, name, listener, true, false);
    },
    prependOnceListener(name, listener) {
      return add(this, name, listener, true, true);
    },
    off(name, listener) {
      return this.removeListener(name, listener);
    },
    removeListener(name, listener) {
      const map = of(this);
      const list = map.get(name);
      if (!list) return this;
      for (let index = list.length - 1; index >= 0; index -= 1) {
        if (list[index].listener === listener) {
          const rest = list.toSpliced(index, 1);
          if (rest.length) map.set(name, rest);
          else map.delete(name);
          if (map.has("removeListener")) this.emit("removeListener", name, listener);
          break;
        }
      }
      return this;
    },
    removeAllListeners(name) {
      if (name === undefined) of(this).clear();
      else of(this).delete(name);
      return this;
    },
    emit(name, ...args) {
      const list = of(this).get(name);
      if (!list) {
        if (name === "error") {
          if (args[0] instanceof Error) throw args[0];
          throw new Error(`Unhandled error. (${builtin("util").inspect(args[0])})`);
        }
        return false;
      }
      for (const entry of list.slice()) {
        if (entry.once) this.removeListener(name, entry.listener);
        entry.listener.apply(this, args);
      }
      return true;
    },
    listeners(name) {
      return (of(this).get(name) ?? []).map((entry) => entry.listener);
    },
    rawListeners(name) {
      return this.listeners(name);
    },
    listenerCount(name) {
      return (of(this).get(name) ?? []).length;
    },
    eventNames() {
      return [...of(this).keys()];
    },
    setMaxListeners() {
      return this;
    },
    getMaxListeners() {
      return 0;
    },
  };
  for (const [name, value] of Object.entries(methods)) {
    Object.defineProperty(EventEmitter.prototype, name, { value, writable: true, configurable: true, enumerable: false });
  }

  EventEmitter.EventEmitter = EventEmitter;
  EventEmitter.defaultMaxListeners = 10;
  EventEmitter.once = (emitter, name) =>
    new Promise((resolve, reject) => {
      const done = (...args) => {
        emitter.removeListener("error", failed);
        resolve(args);
      };
      const failed = (error) => {
        emitter.removeListener(name, done);
        reject(error);
      };
      emitter.once(name, done);
      if (name !== "error") emitter.once("error", failed);
    });
  module.exports = EventEmitter;
});
