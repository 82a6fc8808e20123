// Node's `util`: inspect and format as `console` needs them, and what scripts take from it.
(function (host, internal, builtin, module) {
  "use strict";

  const custom = Symbol.for("nodejs.util.inspect.custom");
  const plainKey = /^[a-zA-Z_][a-zA-Z_0-9]*$/;

  const escapes = { "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", "\\": "\\\\" };

  function quote(text) {
    let mark = "'";
    if (text.includes("'")) {
      if (!text.includes('"')) mark = '"';
      else if (!text.includes("`") && !text.includes("${")) mark = "`";
    }
    // eslint-disable-next-line no-control-regex
    const body = text.replace(/[\x00-\x1f\x7f-\x9f\\'"`]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, (character) => {
      if (character === mark) return `\\${character}`;
      if (character === "'" || character === '"' || character === "`") return character;
      if (escapes[character]) return escapes[character];
      const code = character.charCodeAt(0);
      return code > 0xff
        ? `\\u${code.toString(16).toUpperCase()}`
        : `\\x${code.toString(16).toUpperCase().padStart(2, "0")}`;
    });
    return mark + body + mark;
  }

  function number(value) {
    return Object.is(value, -0) ? "-0" : `${value}`;
  }

  function primitive(value, view) {
    switch (typeof value) {
      case "string": {
        let text = value;
        let rest = "";
        if (text.length > view.maxStringLength) {
          const more = text.length - view.maxStringLength;
          text = text.slice(0, view.maxStringLength);
          rest = `... ${more} more character${more > 1 ? "s" : ""}`;
        }
        if (view.compact !== true && text.length > 16 && text.length > view.breakLength - view.indentation - 4) {
          return text.split(/(?<=\n)/).map(quote).join(` +\n${" ".repeat(view.indentation + 2)}`) + rest;
        }
        return quote(text) + rest;
      }
      case "number":
        return number(value);
      case "bigint":
        return `${value}n`;
      case "symbol":
        return value.toString();
      default:
        return `${value}`;
    }
  }

  function constructorName(object) {
    for (let current = object; current !== null; current = Object.getPrototypeOf(current)) {
      const descriptor = Object.getOwnPropertyDescriptor(current, "constructor");
      if (descriptor && typeof descriptor.value === "function" && descriptor.value.name !== "" && object instanceof descriptor.value) {
        return descriptor.value.name;
      }
    }
    return null;
  }

  function prefix(name, tag, fallback, size = "") {
    const shown = name === null ? `[${fallback}${size}: null prototype] ` : `${name}${size} `;
    return tag && tag !== name ? `${shown}[${tag}] ` : shown;
  }

  function keyName(key) {
    if (typeof key === "symbol") return `[${key.toString()}]`;
    if (key === "__proto__") return "['__proto__']";
    return plainKey.test(key) ? key : quote(key);
  }

  function property(view, object, key, depth, inArray) {
    const descriptor = Object.getOwnPropertyDescriptor(object, key) ?? { value: object[key], enumerable: true };
    let text;
    if ("value" in descriptor) {
      view.indentation += 2;
      text = show(view, descriptor.value, depth);
      view.indentation -= 2;
    } else if (descriptor.get) {
      text = descriptor.set ? "[Getter/Setter]" : "[Getter]";
    } else {
      text = descriptor.set ? "[Setter]" : "undefined";
    }
    if (inArray) return text;
    const name = descriptor.enumerable === false && typeof key === "string" ? `[${key}]` : keyName(key);
    return `${name}: ${text}`;
  }

  function ownKeys(view, object) {
    const keys = view.showHidden ? Object.getOwnPropertyNames(object) : Object.keys(object);
    for (const symbol of Object.getOwnPropertySymbols(object)) {
      if (view.showHidden || Object.prototype.propertyIsEnumerable.call(object, symbol)) keys.push(symbol);
    }
    return keys;
  }

  const isIndex = (key) => typeof key === "string" && /^(0|[1-9][0-9]*)$/.test(key);

  function more(count) {
    return `... ${count} more item${count > 1 ? "s" : ""}`;
  }

  function arrayItems(view, array, depth) {
    const items = [];
    const limit = Math.min(view.maxArrayLength, array.length);
    let index = 0;
    while (index < array.length && items.length < limit) {
      if (Object.hasOwn(array, index)) {
        items.push(property(view, array, index, depth, true));
        index += 1;
        continue;
      }
      let next = index;
      while (next < array.length && !Object.hasOwn(array, next)) next += 1;
      items.push(`<${next - index} empty item${next - index > 1 ? "s" : ""}>`);
      index = next;
    }
    if (index < array.length) items.push(more(array.length - index));
    return items;
  }

  function typedItems(view, array) {
    const limit = Math.min(view.maxArrayLength, array.length);
    const items = [];
    for (let index = 0; index < limit; index += 1) items.push(primitive(array[index], view));
    if (limit < array.length) items.push(more(array.length - limit));
    return items;
  }

  function iterated(view, entries, count, each) {
    const items = [];
    view.indentation += 2;
    for (const entry of entries) {
      if (items.length >= view.maxArrayLength) break;
      items.push(each(entry));
    }
    view.indentation -= 2;
    if (count > items.length) items.push(more(count - items.length));
    return items;
  }

  function functionBase(value, name, tag) {
    const source = Function.prototype.toString.call(value);
    const own = typeof value.name === "string" ? value.name : "";
    if (/^class\b/.test(source)) {
      let text = own === "" ? "[class (anonymous)" : `[class ${own}`;
      if (name !== "Function" && name !== null) text += ` [${name}]`;
      const parent = Object.getPrototypeOf(value);
      if (parent && parent.name) text += ` extends ${parent.name}`;
      else if (parent === null) text += " extends [null prototype]";
      return `${text}]`;
    }
    let type = name ?? "Function";
    if (!/Function$/.test(type)) type = "Function";
    let text = `[${type}`;
    if (name === null) text += " (null prototype)";
    text += own === "" ? " (anonymous)]" : `: ${own}]`;
    return tag && tag !== name ? `${text} [${tag}]` : text;
  }

  function errorBase(view, error, keys) {
    const head = (() => {
      try {
        return Error.prototype.toString.call(error);
      } catch {
        return "Error";
      }
    })();
    let stack = typeof error.stack === "string" && error.stack !== "" ? error.stack : `[${head}]`;
    const name = constructorName(error) ?? "Error";
    const shown = error.name !== undefined ? String(error.name) : "Error";
    // A class of its own that kept the name Error is told by its class.
    if (name !== shown && !stack.startsWith(name) && stack.startsWith(shown) && !shown.includes(name)) {
      stack = shown === "Error" && name.endsWith("Error") ? name + stack.slice(shown.length) : `${stack}`;
    }
    for (const key of ["name", "message", "stack"]) {
      const index = keys.indexOf(key);
      if (index >= 0 && (key === "stack" || stack.includes(String(error[key])))) keys.splice(index, 1);
    }
    if ("cause" in error && !keys.includes("cause") && Object.hasOwn(error, "cause")) keys.push("cause");
    if (view.indentation) stack = stack.replaceAll("\n", `\n${" ".repeat(view.indentation)}`);
    return stack;
  }

  function show(view, value, depth, typed) {
    if ((typeof value !== "object" && typeof value !== "function") || value === null) return primitive(value, view);
    if (view.customInspect) {
      const own = value[custom];
      if (typeof own === "function" && own !== inspect) {
        const left = view.depth === null ? null : view.depth - depth;
        const answer = own.call(value, left, { ...view, stylize: String }, inspect);
        if (typeof answer === "string") return answer.replaceAll("\n", `\n${" ".repeat(view.indentation)}`);
        return show({ ...view, customInspect: false }, answer, depth);
      }
    }
    if (view.seen.includes(value)) {
      if (!view.circular.has(value)) view.circular.set(value, view.circular.size + 1);
      return `[Circular *${view.circular.get(value)}]`;
    }
    return raw(view, value, depth, typed);
  }

  function raw(view, value, depth) {
    const name = constructorName(value);
    let tag = value[Symbol.toStringTag];
    if (typeof tag !== "string" || tag === "" || tag === name) tag = "";
    let keys = ownKeys(view, value);
    let braces = ["{", "}"];
    let base = "";
    let items = null;
    let isList = false;
    const plural = (count) => `(${count})`;

    if (Array.isArray(value)) {
      const head = name !== "Array" || tag ? prefix(name, tag, "Array", plural(value.length)) : "";
      keys = keys.filter((key) => !isIndex(key) && (view.showHidden || key !== "length"));
      braces = [`${head}[`, "]"];
      if (value.length === 0 && keys.length === 0) return `${braces[0]}]`;
      isList = true;
      items = (next) => arrayItems(view, value, next);
    } else if (value instanceof Set) {
      braces = [`${prefix(name, tag, "Set", plural(value.size))}{`, "}"];
      items = (next) => iterated(view, value.values(), value.size, (entry) => show(view, entry, next));
      if (value.size === 0 && keys.length === 0) return `${braces[0]}}`;
    } else if (value instanceof Map) {
      braces = [`${prefix(name, tag, "Map", plural(value.size))}{`, "}"];
      items = (next) =>
        iterated(view, value.entries(), value.size, ([key, entry]) => `${show(view, key, next)} => ${show(view, entry, next)}`);
      if (value.size === 0 && keys.length === 0) return `${braces[0]}}`;
    } else if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
      keys = keys.filter((key) => !isIndex(key));
      braces = [`${prefix(name, tag === name ? "" : tag, "TypedArray", plural(value.length)).replace(/ \[\w+Array\] $/, " ")}[`, "]"];
      if (value.length === 0 && keys.length === 0) return `${braces[0]}]`;
      isList = true;
      items = () => typedItems(view, value);
    } else if (Object.prototype.toString.call(value) === "[object Arguments]") {
      keys = keys.filter((key) => !isIndex(key));
      braces = ["[Arguments] [", "]"];
      isList = true;
      items = (next) => arrayItems(view, value, next);
    } else if (typeof value === "function") {
      base = functionBase(value, name, tag);
      if (keys.length === 0) return base;
    } else if (value instanceof RegExp) {
      base = RegExp.prototype.toString.call(value);
      if (keys.length === 0 || (view.depth !== null && depth > view.depth)) return base;
    } else if (value instanceof Date) {
      base = Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
      if (keys.length === 0) return base;
    } else if (value instanceof Error) {
      base = errorBase(view, value, keys);
      if (keys.length === 0) return base;
    } else if (value instanceof ArrayBuffer) {
      const bytes = new Uint8Array(value);
      const shown = [...bytes.subarray(0, 50)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
      const rest = bytes.length > 50 ? ` ... ${bytes.length - 50} more byte${bytes.length > 51 ? "s" : ""}` : "";
      braces = [`${prefix(name, tag, "ArrayBuffer")}{`, "}"];
      items = () => [`[Uint8Contents]: <${shown}${rest}>`, `byteLength: ${value.byteLength}`];
    } else if (value instanceof Promise) {
      braces = [`${prefix(name, tag, "Promise")}{`, "}"];
      items = () => ["<pending>"];
    } else if (value instanceof WeakMap || value instanceof WeakSet) {
      return `${prefix(name, tag, "WeakMap")}{ <items unknown> }`;
    } else if (value instanceof String || value instanceof Number || value instanceof Boolean) {
      const type = value instanceof String ? "String" : value instanceof Number ? "Number" : "Boolean";
      if (type === "String") keys = keys.filter((key) => !isIndex(key));
      base = `[${type}: ${primitive(value.valueOf(), view)}]`;
      if (keys.length === 0) return base;
    } else {
      braces[0] = name === "Object" && !tag ? "{" : `${prefix(name, tag, "Object")}{`;
      if (keys.length === 0) return `${braces[0]}}`;
    }

    if (view.depth !== null && depth > view.depth) {
      const shown = Array.isArray(value) ? "Array" : prefix(name, tag, "Object").slice(0, -1);
      return `[${shown}]`;
    }

    const next = depth + 1;
    view.seen.push(value);
    view.current = next;
    let output = items ? items(next) : [];
    for (const key of keys) output.push(property(view, value, key, next, false));
    view.seen.pop();

    if (view.circular.has(value)) {
      const reference = `<ref *${view.circular.get(value)}>`;
      if (view.compact !== true) base = base === "" ? reference : `${reference} ${base}`;
      else braces[0] = `${reference} ${braces[0]}`;
    }
    if (view.sorted) output.sort(view.sorted === true ? undefined : view.sorted);
    const text = layout(view, output, base, braces, isList, next, value);
    view.budget -= text.length;
    if (view.budget < 0) view.depth = -1;
    return text;
  }

  // Puts the parts of an object on one line or on several, by Node's rules of length.
  function layout(view, output, base, braces, isList, depth, value) {
    const count = output.length;
    if (view.compact >= 1) {
      if (isList && count > 6) output = columns(view, output, value);
      if (view.current - depth < view.compact && count === output.length) {
        const start = output.length + view.indentation + braces[0].length + base.length + 10;
        let length = output.length + start;
        for (const part of output) length += part.length;
        if (length <= view.breakLength && !base.includes("\n")) {
          const joined = output.join(", ");
          if (!joined.includes("\n")) return `${base ? `${base} ` : ""}${braces[0]} ${joined} ${braces[1]}`;
        }
      }
    }
    const line = `\n${" ".repeat(view.indentation)}`;
    return `${base ? `${base} ` : ""}${braces[0]}${line}  ${output.join(`,${line}  `)}${line}${braces[1]}`;
  }

  // Sets the items of a long list in columns.
  function columns(view, output, value) {
    const last = view.maxArrayLength < output.length ? output.length - 1 : output.length;
    const lengths = output.slice(0, last).map((part) => part.length);
    const total = lengths.reduce((sum, length) => sum + length + 2, 0);
    const longest = Math.max(...lengths) + 2;
    if (longest * 3 + view.indentation >= view.breakLength) return output;
    if (total / longest <= 5 && longest - 2 > 6) return output;
    const bias = Math.max(longest - 3 - Math.sqrt(longest - total / output.length), 1);
    const width = Math.min(
      Math.round(Math.sqrt(2.5 * bias * last) / bias),
      Math.floor((view.breakLength - view.indentation) / longest),
      view.compact * 4,
      15,
    );
    if (width <= 1) return output;
    const widest = [];
    for (let column = 0; column < width; column += 1) {
      let most = 0;
      for (let index = column; index < last; index += width) most = Math.max(most, lengths[index]);
      widest.push(most + 2);
    }
    const atStart = Array.from(value).every((item) => typeof item === "number" || typeof item === "bigint");
    const rows = [];
    for (let row = 0; row < last; row += width) {
      const end = Math.min(row + width, last);
      let text = "";
      for (let index = row; index < end - 1; index += 1) {
        const cell = `${output[index]}, `;
        text += atStart ? cell.padStart(widest[index - row]) : cell.padEnd(widest[index - row]);
      }
      const cell = output[end - 1];
      text += atStart ? cell.padStart(widest[end - 1 - row] - 2) : cell;
      rows.push(text);
    }
    if (last < output.length) rows.push(output[last]);
    return rows;
  }

  function inspect(value, options, ...legacy) {
    const given = typeof options === "object" && options !== null ? options : { showHidden: options, depth: legacy[0] };
    const view = {
      showHidden: Boolean(given.showHidden),
      depth: given.depth === undefined ? 2 : given.depth === Infinity ? null : given.depth,
      customInspect: given.customInspect !== false,
      maxArrayLength: given.maxArrayLength === undefined ? 100 : (given.maxArrayLength ?? Infinity),
      maxStringLength: given.maxStringLength === undefined ? 10000 : (given.maxStringLength ?? Infinity),
      breakLength: given.breakLength ?? 80,
      compact: given.compact === undefined || given.compact === true ? 3 : Number(given.compact),
      sorted: given.sorted,
      indentation: 0,
      seen: [],
      circular: new Map(),
      current: 0,
      budget: 4 * 1024 * 1024,
    };
    return show(view, value, 0);
  }
  inspect.custom = custom;
  inspect.defaultOptions = {};

  const substitutions = {
    s(value) {
      if (typeof value === "bigint") return `${value}n`;
      if (typeof value === "number") return number(value);
      if (typeof value !== "object" || value === null) return String(value);
      const own = value.toString;
      if (typeof own === "function" && own !== Object.prototype.toString && own !== Error.prototype.toString && !Array.isArray(value) && !(value instanceof Date)) {
        return String(value);
      }
      return inspect(value, { depth: 0 });
    },
    d(value) {
      if (typeof value === "bigint") return `${value}n`;
      return typeof value === "symbol" || typeof value === "object" ? "NaN" : number(Number(value));
    },
    i(value) {
      if (typeof value === "bigint") return `${value}n`;
      return typeof value === "symbol" || typeof value === "object" ? "NaN" : number(Number.parseInt(value, 10));
    },
    f: (value) => (typeof value === "symbol" ? "NaN" : number(Number.parseFloat(value))),
    j(value) {
      try {
        return JSON.stringify(value);
      } catch (error) {
        if (/circular/i.test(error.message)) return "[Circular]";
        throw error;
      }
    },
    o: (value) => inspect(value, { showHidden: true, depth: 4 }),
    O: (value) => inspect(value),
    c: () => "",
  };

  function format(...args) {
    let text = "";
    let index = 0;
    if (typeof args[0] === "string") {
      if (args.length === 1) return args[0];
      index = 1;
      text = args[0].replace(/%([sdifjoOc%])/g, (whole, kind) => {
        if (kind === "%") return "%";
        if (index >= args.length) return whole;
        const value = args[index];
        index += 1;
        return String(substitutions[kind](value));
      });
    }
    for (let first = index === 0; index < args.length; index += 1, first = false) {
      const value = args[index];
      text += (first ? "" : " ") + (typeof value === "string" ? value : inspect(value));
    }
    return text;
  }

  const promised = Symbol.for("nodejs.util.promisify.custom");
  function promisify(original) {
    if (typeof original !== "function") {
      throw new TypeError(`The "original" argument must be of type function. Received ${typeof original}`);
    }
    if (typeof original[promised] === "function") return original[promised];
    if (original === setTimeout) return (delay, value) => new Promise((resolve) => setTimeout(resolve, delay, value));
    return function (...args) {
      return new Promise((resolve, reject) => {
        original.call(this, ...args, (error, value) => (error ? reject(error) : resolve(value)));
      });
    };
  }
  promisify.custom = promised;

  class TextEncoder {
    get encoding() {
      return "utf-8";
    }
    encode(text = "") {
      return host.encode(internal.wellFormed(text), "utf8");
    }
    encodeInto(text, target) {
      let read = 0;
      let written = 0;
      for (const character of internal.wellFormed(text)) {
        const bytes = host.encode(character, "utf8");
        if (written + bytes.length > target.length) break;
        target.set(bytes, written);
        written += bytes.length;
        read += character.length;
      }
      return { read, written };
    }
  }

  class TextDecoder {
    constructor(encoding = "utf-8", options = {}) {
      const name = String(encoding).toLowerCase();
      if (!["utf-8", "utf8", "unicode-1-1-utf-8"].includes(name)) {
        throw new RangeError(`The "${encoding}" encoding is not supported; there is utf-8`);
      }
      this.fatal = Boolean(options.fatal);
      this.ignoreBOM = Boolean(options.ignoreBOM);
    }
    get encoding() {
      return "utf-8";
    }
    decode(input) {
      if (input === undefined) return "";
      const bytes = input instanceof ArrayBuffer ? new Uint8Array(input) : new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
      const text = host.decode(internal.binary(bytes), "utf8");
      if (this.fatal && text.includes("\ufffd")) throw new TypeError("The encoded data was not valid for encoding utf-8");
      return !this.ignoreBOM && text.startsWith("\ufeff") ? text.slice(1) : text;
    }
  }

  // A copy of a value with everything that it holds, as `structuredClone` makes one.
  function clone(value, copies = new Map()) {
    if (typeof value === "function" || typeof value === "symbol") {
      const error = new Error(`${String(value)} could not be cloned.`);
      error.name = "DataCloneError";
      throw error;
    }
    if (typeof value !== "object" || value === null) return value;
    if (copies.has(value)) return copies.get(value);
    const keep = (copy) => {
      copies.set(value, copy);
      return copy;
    };
    if (value instanceof Date) return keep(new Date(value.getTime()));
    if (value instanceof RegExp) return keep(new RegExp(value.source, value.flags));
    if (value instanceof ArrayBuffer) return keep(value.slice(0));
    if (ArrayBuffer.isView(value)) return keep(value.slice());
    if (value instanceof Map) {
      const copy = keep(new Map());
      for (const [key, entry] of value) copy.set(clone(key, copies), clone(entry, copies));
      return copy;
    }
    if (value instanceof Set) {
      const copy = keep(new Set());
      for (const entry of value) copy.add(clone(entry, copies));
      return copy;
    }
    if (value instanceof Error) {
      const copy = keep(new Error(value.message));
      copy.name = value.name;
      copy.stack = value.stack;
      return copy;
    }
    const copy = keep(Array.isArray(value) ? new Array(value.length) : {});
    for (const key of Object.keys(value)) copy[key] = clone(value[key], copies);
    return copy;
  }

  const asyncFunction = (async () => {}).constructor;
  const generatorFunction = function* () {}.constructor;

  module.exports = {
    inspect,
    format,
    promisify,
    callbackify: (original) =>
      function (...args) {
        const callback = args.pop();
        original.apply(this, args).then((value) => callback(null, value), (error) => callback(error));
      },
    inherits(child, parent) {
      Object.defineProperty(child, "super_", { value: parent, writable: true, configurable: true });
      Object.setPrototypeOf(child.prototype, parent.prototype);
    },
    deprecate: (original) => original,
    isArray: Array.isArray,
    isDeepStrictEqual: (left, right) => builtin("assert").same(left, right, true),
    stripVTControlCharacters: (text) => text.replace(/\u001b\[[0-9;]*[A-Za-z]/g, ""),
    debuglog: () => Object.assign(() => {}, { enabled: false }),
    toUSVString: internal.wellFormed,
    types: {
      isDate: (value) => value instanceof Date,
      isPromise: (value) => value instanceof Promise,
      isRegExp: (value) => value instanceof RegExp,
      isMap: (value) => value instanceof Map,
      isSet: (value) => value instanceof Set,
      isWeakMap: (value) => value instanceof WeakMap,
      isWeakSet: (value) => value instanceof WeakSet,
      isNativeError: (value) => value instanceof Error,
      isArrayBuffer: (value) => value instanceof ArrayBuffer,
      isAnyArrayBuffer: (value) => value instanceof ArrayBuffer || value instanceof SharedArrayBuffer,
      isArrayBufferView: (value) => ArrayBuffer.isView(value),
      isTypedArray: (value) => ArrayBuffer.isView(value) && !(value instanceof DataView),
      isUint8Array: (value) => value instanceof Uint8Array,
      isAsyncFunction: (value) => value instanceof asyncFunction,
      isGeneratorFunction: (value) => value instanceof generatorFunction,
      isBoxedPrimitive: (value) => [Boolean, Number, String, Symbol, BigInt].some((kind) => value instanceof kind),
      isProxy: () => false,
    },
    TextEncoder,
    TextDecoder,
  };
  Object.defineProperty(module.exports, "structuredClone", { enumerable: false, value: (value) => clone(value) });
});
