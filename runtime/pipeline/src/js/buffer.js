// Node's `buffer`: bytes, and texts that stand for bytes.
(function (host, internal, builtin, module) {
  "use strict";

  const encodings = {
    utf8: "utf8", "utf-8": "utf8", hex: "hex", base64: "base64", base64url: "base64url",
    latin1: "latin1", binary: "latin1", ascii: "latin1", utf16le: "utf16le", "utf-16le": "utf16le",
    ucs2: "utf16le", "ucs-2": "utf16le",
  };
  const encodingOf = (name) => {
    if (name === undefined || name === null || name === "") return "utf8";
    const found = encodings[String(name).toLowerCase()];
    if (!found) throw new TypeError(`Unknown encoding: ${name}`);
    return found;
  };

  function encode(text, name) {
    const encoding = encodingOf(name);
    if (encoding === "latin1") return Uint8Array.from(text, (letter) => letter.charCodeAt(0) & 255);
    if (encoding === "utf16le") {
      const bytes = new Uint8Array(text.length * 2);
      for (let index = 0; index < text.length; index += 1) {
        bytes[2 * index] = text.charCodeAt(index) & 255;
        bytes[2 * index + 1] = text.charCodeAt(index) >> 8;
      }
      return bytes;
    }
    return host.encode(internal.wellFormed(text), encoding);
  }

  const view = (bytes) => Object.setPrototypeOf(bytes, Buffer.prototype);

  class Buffer extends Uint8Array {
    static poolSize = 0;

    static from(value, encoding, length) {
      if (typeof value === "string") return view(encode(value, encoding));
      if (value instanceof ArrayBuffer) return view(new Uint8Array(value, encoding, length));
      if (value && value.type === "Buffer" && Array.isArray(value.data)) return view(Uint8Array.from(value.data));
      if (value && typeof value === "object" && typeof value.length === "number") return view(Uint8Array.from(value));
      const error = new TypeError(
        "The first argument must be of type string or an instance of Buffer, ArrayBuffer, or Array or an Array-like Object." +
          ` Received ${value === null ? "null" : typeof value}`,
      );
      error.code = "ERR_INVALID_ARG_TYPE";
      throw error;
    }
    static alloc(size, fill, encoding) {
      const buffer = view(new Uint8Array(size));
      return fill === undefined ? buffer : buffer.fill(fill, encoding);
    }
    static allocUnsafe(size) {
      return Buffer.alloc(size);
    }
    static concat(list, length = list.reduce((sum, part) => sum + part.length, 0)) {
      const whole = Buffer.alloc(length);
      let at = 0;
      for (const part of list) {
        if (at >= length) break;
        whole.set(part.subarray(0, length - at), at);
        at += part.length;
      }
      return whole;
    }
    static isBuffer(value) {
      return value instanceof Buffer;
    }
    static isEncoding(name) {
      return Object.hasOwn(encodings, String(name).toLowerCase());
    }
    static byteLength(value, encoding) {
      return typeof value === "string" ? encode(value, encoding).length : value.byteLength;
    }
    static compare(left, right) {
      const shared = Math.min(left.length, right.length);
      for (let index = 0; index < shared; index += 1) {
        if (left[index] !== right[index]) return left[index] < right[index] ? -1 : 1;
      }
      return Math.sign(left.length - right.length);
    }

    toString(name, start = 0, end = this.length) {
      const encoding = encodingOf(name);
      const bytes = this.subarray(start, end);
      if (encoding === "latin1") return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
      if (encoding === "utf16le") {
        let text = "";
        for (let index = 0; index + 1 < bytes.length; index += 2) text += String.fromCharCode(bytes[index] | (bytes[index + 1] << 8));
        return text;
      }
      return host.decode(internal.binary(bytes), encoding);
    }
    toJSON() {
      return { type: "Buffer", data: Array.from(this) };
    }
    equals(other) {
      return Buffer.compare(this, other) === 0;
    }
    compare(other) {
      return Buffer.compare(this, other);
    }
    write(text, offset = 0, length = this.length - offset, encoding = "utf8") {
      const bytes = encode(text, encoding).subarray(0, Math.min(length, this.length - offset));
      this.set(bytes, offset);
      return bytes.length;
    }
    fill(value, ...rest) {
      if (typeof value !== "string") return super.fill(value, ...rest);
      const [start = 0, end = this.length] = rest.filter((each) => typeof each === "number");
      const bytes = encode(value, rest.find((each) => typeof each === "string"));
      for (let index = start; bytes.length > 0 && index < end; index += 1) this[index] = bytes[(index - start) % bytes.length];
      return this;
    }
    copy(target, at = 0, start = 0, end = this.length) {
      const part = this.subarray(start, Math.min(end, start + target.length - at));
      target.set(part, at);
      return part.length;
    }
    slice(start, end) {
      return this.subarray(start, end);
    }
    subarray(start, end) {
      return view(Uint8Array.prototype.subarray.call(new Uint8Array(this.buffer, this.byteOffset, this.length), start, end));
    }
    indexOf(value, from = 0, encoding) {
      if (typeof value === "number") return super.indexOf(value & 255, from);
      const wanted = typeof value === "string" ? encode(value, encoding) : value;
      for (let index = from < 0 ? Math.max(0, this.length + from) : from; index + wanted.length <= this.length; index += 1) {
        let same = 0;
        while (same < wanted.length && this[index + same] === wanted[same]) same += 1;
        if (same === wanted.length) return index;
      }
      return -1;
    }
    includes(value, from, encoding) {
      return this.indexOf(value, from, encoding) >= 0;
    }
    readUInt8(at = 0) {
      return this[at];
    }
    readUInt16BE(at = 0) {
      return (this[at] << 8) | this[at + 1];
    }
    readUInt16LE(at = 0) {
      return this[at] | (this[at + 1] << 8);
    }
    readUInt32BE(at = 0) {
      return ((this[at] << 24) | (this[at + 1] << 16) | (this[at + 2] << 8) | this[at + 3]) >>> 0;
    }
    readUInt32LE(at = 0) {
      return ((this[at + 3] << 24) | (this[at + 2] << 16) | (this[at + 1] << 8) | this[at]) >>> 0;
    }
    get [Symbol.toStringTag]() {
      return "Uint8Array";
    }
    [Symbol.for("nodejs.util.inspect.custom")]() {
      const bytes = Array.from(this.subarray(0, 50), (byte) => byte.toString(16).padStart(2, "0"));
      const rest = this.length - 50;
      const more = rest > 0 ? ` ... ${rest} more byte${rest > 1 ? "s" : ""}` : "";
      return `<Buffer${bytes.map((byte) => ` ${byte}`).join("")}${more}>`;
    }
  }

  module.exports = {
    Buffer,
    kMaxLength: 2 ** 31 - 1,
    constants: { MAX_LENGTH: 2 ** 31 - 1, MAX_STRING_LENGTH: 2 ** 29 - 24 },
    btoa(value) {
      const text = String(value);
      for (let index = 0; index < text.length; index += 1) {
        if (text.charCodeAt(index) > 255) throw new Error("The string to be encoded contains characters outside of the Latin1 range.");
      }
      return Buffer.from(text, "latin1").toString("base64");
    },
    atob: (value) => Buffer.from(String(value), "base64").toString("latin1"),
  };
});
