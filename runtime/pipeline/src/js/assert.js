// Node's `assert`.
(function (host, internal, builtin, module) {
  "use strict";

  const { inspect } = builtin("util");

  class AssertionError extends Error {
    constructor({ message, actual, expected, operator }) {
      super(message ?? `${inspect(actual)} ${operator} ${inspect(expected)}`);
      this.name = "AssertionError";
      this.code = "ERR_ASSERTION";
      this.generatedMessage = message === undefined;
      this.actual = actual;
      this.expected = expected;
      this.operator = operator;
    }
  }

  function same(left, right, strict, seen = []) {
    if (strict ? Object.is(left, right) : left == right || (left !== left && right !== right)) return true;
    if (typeof left !== "object" || typeof right !== "object" || left === null || right === null) return false;
    if (strict && Object.getPrototypeOf(left) !== Object.getPrototypeOf(right)) return false;
    if (seen.some(([a, b]) => a === left && b === right)) return true;
    seen.push([left, right]);
    if (Array.isArray(left) !== Array.isArray(right)) return false;
    if (left instanceof Date && right instanceof Date && left.getTime() !== right.getTime()) return false;
    if (left instanceof RegExp && right instanceof RegExp && String(left) !== String(right)) return false;
    if (left instanceof Error && (!(right instanceof Error) || left.message !== right.message || left.name !== right.name)) return false;
    if (left instanceof Map || left instanceof Set) {
      if (left.constructor !== right.constructor || left.size !== right.size) return false;
      return same([...left], [...right], strict, seen);
    }
    const keys = Object.keys(left);
    if (keys.length !== Object.keys(right).length) return false;
    return keys.every((key) => Object.hasOwn(right, key) && same(left[key], right[key], strict, seen));
  }

  const fail = (given, details) => {
    if (given instanceof Error) throw given;
    throw new AssertionError({ message: given, ...details });
  };
  const compare = (holds, operator, sentence) =>
    function (actual, expected, message) {
      if (holds(actual, expected)) return;
      const text = message ?? `${sentence}\n\n${inspect(actual)} ${operator} ${inspect(expected)}\n`;
      fail(text, { actual, expected, operator });
    };

  function matches(error, expected) {
    if (expected === undefined) return true;
    if (expected instanceof RegExp) return expected.test(String(error));
    if (typeof expected === "function") {
      if (expected.prototype !== undefined && error instanceof expected) return true;
      if (expected === Error || Object.prototype.isPrototypeOf.call(Error, expected)) return false;
      return expected(error) === true;
    }
    return Object.entries(expected).every(([key, value]) =>
      value instanceof RegExp && typeof error[key] === "string" ? value.test(error[key]) : same(error[key], value, true),
    );
  }
  const thrown = (error, expected, message) => {
    if (typeof expected === "string") return;
    if (!matches(error, expected)) {
      fail(message ?? "The error is not the expected one", { actual: error, expected, operator: "throws" });
    }
  };

  function assert(value, message) {
    if (!value) fail(message ?? "The expression evaluated to a falsy value", { actual: value, expected: true, operator: "==" });
  }
  Object.assign(assert, {
    AssertionError,
    same,
    ok: assert,
    fail: (message = "Failed") => fail(message, { operator: "fail" }),
    equal: compare((a, b) => a == b || (a !== a && b !== b), "==", "Expected values to be loosely equal:"),
    notEqual: compare((a, b) => a != b, "!=", 'Expected "actual" to be loosely unequal to:'),
    strictEqual: compare(Object.is, "!==", "Expected values to be strictly equal:"),
    notStrictEqual: compare((a, b) => !Object.is(a, b), "===", 'Expected "actual" to be strictly unequal to:'),
    deepEqual: compare((a, b) => same(a, b, false), "deepEqual", "Expected values to be loosely deep-equal:"),
    deepStrictEqual: compare((a, b) => same(a, b, true), "deepStrictEqual", "Expected values to be strictly deep-equal:"),
    notDeepEqual: compare((a, b) => !same(a, b, false), "notDeepEqual", 'Expected "actual" not to be loosely deep-equal to:'),
    notDeepStrictEqual: compare((a, b) => !same(a, b, true), "notDeepStrictEqual", 'Expected "actual" not to be strictly deep-equal to:'),
    match: compare((text, pattern) => pattern.test(text), "match", "The input did not match the regular expression:"),
    doesNotMatch: compare((text, pattern) => !pattern.test(text), "doesNotMatch", "The input was expected to not match the regular expression:"),
    ifError(value) {
      if (value !== null && value !== undefined) throw value;
    },
    throws(action, expected, message) {
      try {
        action();
      } catch (error) {
        return thrown(error, expected, message);
      }
      fail(typeof expected === "string" ? expected : (message ?? "Missing expected exception."), { operator: "throws" });
    },
    doesNotThrow(action) {
      action();
    },
    async rejects(action, expected, message) {
      try {
        await (typeof action === "function" ? action() : action);
      } catch (error) {
        return thrown(error, expected, message);
      }
      fail(typeof expected === "string" ? expected : (message ?? "Missing expected rejection."), { operator: "rejects" });
    },
  });
  Object.defineProperty(assert, "same", { enumerable: false });
  assert.strict = assert;
  module.exports = assert;
});
