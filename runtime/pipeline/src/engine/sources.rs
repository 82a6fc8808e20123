//! What a file is as a module, and its text as the engine takes it.

use rquickjs::{CatchResultExt, CaughtError, Ctx, Exception, Function};

#[cfg(not(feature = "typescript"))]
use super::Want;
#[cfg(feature = "typescript")]
use super::typescript::{self, Language};
use super::{Shared, host};

/// A file that can be loaded.
pub(super) struct Source {
    pub(super) kind: Kind,
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    CommonJs,
    Module,
    Json,
}

/// Why a file is none that can be loaded, and where.
#[derive(Debug)]
pub(super) struct Refusal {
    name: String,
    /// From 1; 0 where it is the whole file.
    line: usize,
    column: usize,
    reason: String,
}

impl Refusal {
    pub(super) fn whole(name: &str, reason: &str) -> Refusal {
        Refusal { name: name.to_owned(), line: 0, column: 0, reason: reason.to_owned() }
    }

    /// At a byte of the text.
    #[cfg(any(feature = "typescript", test))]
    pub(super) fn at(name: &str, text: &str, at: usize, reason: &str) -> Refusal {
        let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let before = &text[..at];
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before[start..].encode_utf16().count() + 1;
        Refusal { line, column, ..Refusal::whole(name, reason) }
    }

    /// Throws it as an error of syntax, with a stack of one place.
    pub(super) fn throw(&self, ctx: &Ctx<'_>) -> rquickjs::Error {
        let error = Exception::throw_syntax(ctx, &self.reason);
        if self.line == 0 {
            return error;
        }
        let value = ctx.catch();
        if let Some(object) = value.as_object() {
            let place = format!("{}:{}:{}", self.name, self.line, self.column);
            let stack = format!("SyntaxError: {}\n    at {place}", self.reason);
            if let Err(error) = object.set("stack", stack) {
                return error;
            }
        }
        ctx.throw(value)
    }
}

/// What a file of the repository, or of a package, is.
pub(super) fn read(shared: &Shared, ctx: &Ctx<'_>, path: &str) -> rquickjs::Result<Source> {
    let text = shared.files(path).text(path).map_err(|error| error.throw(ctx))?;
    match ending(path) {
        "json" => Ok(Source { kind: Kind::Json, text: bare(&text).to_owned() }),
        "ts" | "mts" | "cts" => strip(shared, ctx, path, &text),
        "mjs" => Ok(Source { kind: Kind::Module, text }),
        "cjs" => Ok(Source { kind: Kind::CommonJs, text }),
        _ => {
            let module = match compiles(ctx, path, &text) {
                None => false,
                Some(_error) => is_module(&text),
            };
            let kind = if module { Kind::Module } else { Kind::CommonJs };
            Ok(Source { kind, text })
        }
    }
}

/// What the script of a build is: by its name or, where that says nothing, by what it is.
pub(super) fn script(
    shared: &Shared,
    ctx: &Ctx<'_>,
    name: &str,
    text: &str,
) -> rquickjs::Result<Source> {
    let source = |kind| Ok(Source { kind, text: text.to_owned() });
    if text.contains('\0') {
        return Err(
            Refusal::whole(name, &format!("{name} is no text: it contains a NUL")).throw(ctx)
        );
    }
    match ending(name) {
        "ts" | "mts" | "cts" => return strip(shared, ctx, name, text),
        "mjs" => return source(Kind::Module),
        "cjs" => return source(Kind::CommonJs),
        _ => {}
    }
    let Some(error) = compiles(ctx, name, text) else { return source(Kind::CommonJs) };
    match language(ctx, text) {
        Some(Language::Module) => source(Kind::Module),
        Some(Language::TypeScript) => strip(shared, ctx, name, text),
        None => Err(ctx.throw(error)),
    }
}

#[cfg(not(feature = "typescript"))]
enum Language {
    Module,
    TypeScript,
}

/// What a text is that is no script of JavaScript.
#[cfg(feature = "typescript")]
fn language(_ctx: &Ctx<'_>, text: &str) -> Option<Language> {
    let module = || looks_like_module(text).then_some(Language::Module);
    typescript::language(text).or_else(module)
}

#[cfg(not(feature = "typescript"))]
fn language(ctx: &Ctx<'_>, text: &str) -> Option<Language> {
    let name = "brigantine:try";
    let module = looks_like_module(text);
    let compiles = module && rquickjs::Module::declare(ctx.clone(), name, text).catch(ctx).is_ok();
    if compiles {
        Some(Language::Module)
    } else if looks_like_typescript(text) {
        Some(Language::TypeScript)
    } else {
        module.then_some(Language::Module)
    }
}

#[cfg(feature = "typescript")]
fn is_module(text: &str) -> bool {
    typescript::language(text) == Some(Language::Module) || looks_like_module(text)
}

#[cfg(not(feature = "typescript"))]
fn is_module(text: &str) -> bool {
    looks_like_module(text)
}

#[cfg(feature = "typescript")]
fn strip(shared: &Shared, ctx: &Ctx<'_>, name: &str, text: &str) -> rquickjs::Result<Source> {
    let stripped = typescript::strip(name, bare(text)).map_err(|refusal| refusal.throw(ctx))?;
    shared.state().positions.insert(name.to_owned(), stripped.positions);
    super::dispatch::<()>(ctx, ("compiled", name))?;
    let kind = if stripped.module { Kind::Module } else { Kind::CommonJs };
    Ok(Source { kind, text: stripped.text })
}

/// This program has no compiler; a worker has.
#[cfg(not(feature = "typescript"))]
fn strip(shared: &Shared, ctx: &Ctx<'_>, name: &str, _text: &str) -> rquickjs::Result<Source> {
    shared.state().want(Want::Compiler);
    Err(Refusal::whole(name, "TypeScript is compiled in the worker").throw(ctx))
}

/// What is thrown where a text is no CommonJS.
fn compiles<'js>(ctx: &Ctx<'js>, name: &str, text: &str) -> Option<rquickjs::Value<'js>> {
    match host::compile_text::<Function<'js>>(ctx, name, text).catch(ctx) {
        Ok(_function) => None,
        Err(CaughtError::Exception(exception)) => Some(exception.into_object().into_value()),
        Err(CaughtError::Value(value)) => Some(value),
        Err(CaughtError::Error(_)) => Some(rquickjs::Value::new_undefined(ctx.clone())),
    }
}

fn looks_like_module(text: &str) -> bool {
    let statement = |line: &str, word: &str| {
        let rest = line.trim_start().strip_prefix(word);
        rest.is_some_and(|rest| rest.starts_with([' ', '{', '*', '"', '\'', '\t']))
    };
    text.lines().any(|line| statement(line, "import") || statement(line, "export"))
        || text.contains("import.meta")
        || text.contains("await ")
}

/// Whether a text that is no JavaScript may be TypeScript.
#[cfg(not(feature = "typescript"))]
fn looks_like_typescript(text: &str) -> bool {
    let starts =
        ["interface ", "type ", "enum ", "namespace ", "declare ", "abstract ", "const enum "];
    let inside = [": string", ": number", ": boolean", ": any", ": Job", ": Event", ": Project"];
    let inside =
        inside.iter().chain(&[" as ", " satisfies ", "import type ", ": void", ": Promise<"]);
    text.lines().any(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        starts.iter().any(|word| line.starts_with(word))
    }) || inside.into_iter().any(|word| text.contains(word))
}

fn ending(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').map_or("", |(_, ending)| ending)
}

/// A text without its byte order mark.
fn bare(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

#[test]
fn a_place_is_counted_in_lines_and_letters() {
    let place = |text: &str, at| {
        let refusal = Refusal::at("x.ts", text, at, "no");
        (refusal.line, refusal.column)
    };
    assert_eq!(place("ab\ncd", 4), (2, 2));
    assert_eq!(place("é😀x", 6), (1, 4));
    assert_eq!(place("é", 1), (1, 1));
    assert_eq!(place("a\n", 99), (2, 1));
    assert_eq!(place("", 0), (1, 1));
}
