//! TypeScript: its types are taken off, and what it has beside types becomes JavaScript.
//!
//! Types are not checked. Enums, namespaces, parameter properties and decorators (those of
//! `experimentalDecorators`) work; what does not is refused with its line and the reason.

use oxc::allocator::Allocator;
use oxc::codegen::{Codegen, CodegenOptions, CommentOptions};
use oxc::diagnostics::{Diagnostics, OxcDiagnostic, Severity};
use oxc::parser::{ParseOptions, Parser, ParserReturn};
use oxc::semantic::SemanticBuilder;
use oxc::span::SourceType;
use oxc::transformer::{HelperLoaderMode, Module, TransformOptions, Transformer};

use super::positions::Positions;
use super::sources::Refusal;

/// How large a file may be, in bytes.
const LARGEST: usize = 256 << 10;

/// How deep a file may be nested is bounded by its size, and this is enough stack for the deepest:
/// only what is used of it is ever taken from the memory.
const STACK: usize = 1 << 30;

/// How deep brackets may be nested.
const DEEPEST: usize = 1000;

/// How many names may be in that of a namespace.
const LONGEST: usize = 100;

/// What a TypeScript file became.
pub(super) struct Stripped {
    pub(super) text: String,
    /// Whether it is an ES module.
    pub(super) module: bool,
    pub(super) positions: Positions,
}

/// What the text of a script is, that nobody has named.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Language {
    Module,
    TypeScript,
}

/// Takes the types off.
pub(super) fn strip(name: &str, text: &str) -> Result<Stripped, Refusal> {
    check(name, text)?;
    let plain = SourceType::ts();
    let sources: &[SourceType] = match name.rsplit('.').next() {
        Some("mts") => &[plain.with_module(true)],
        Some("cts") => &[plain.with_commonjs(true)],
        // What has no imports and exports may `return` at its top, or `await` there.
        _ => &[plain.with_unambiguous(true), plain.with_commonjs(true), plain.with_module(true)],
    };
    let stripped = on_a_deep_stack(|| {
        let mut refused = None;
        for source in sources {
            match transform(name, text, *source) {
                Ok(stripped) => return Ok(stripped),
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        Err(refused.unwrap_or_else(|| Refusal::whole(name, "it is no TypeScript")))
    });
    stripped.unwrap_or_else(|| Err(Refusal::whole(name, "there is no memory to compile it")))
}

/// What a text is that is no script of JavaScript.
pub(super) fn language(text: &str) -> Option<Language> {
    check("", text).ok()?;
    on_a_deep_stack(|| {
        let parses = |source: SourceType| {
            let allocator = Allocator::default();
            let parsed = Parser::new(&allocator, text, source).parse();
            (!parsed.panicked && !parsed.diagnostics.has_errors())
                .then(|| parsed.program.source_type.is_module())
        };
        match parses(SourceType::mjs().with_unambiguous(true)) {
            Some(true) => return Some(Language::Module),
            Some(false) => {}
            None if parses(SourceType::mjs()).is_some() => return Some(Language::Module),
            None => {}
        }
        let typed = [SourceType::ts().with_unambiguous(true), SourceType::ts()];
        typed.into_iter().any(|source| parses(source).is_some()).then_some(Language::TypeScript)
    })?
}

fn transform(name: &str, text: &str, source: SourceType) -> Result<Stripped, Refusal> {
    let refusal = |diagnostics: &Diagnostics| {
        let first = diagnostics.errors().next();
        first.map_or(Ok(()), |error| Err(refusal(name, text, error)))
    };
    let allocator = Allocator::default();
    let options = ParseOptions {
        allow_return_outside_function: source.is_commonjs(),
        ..ParseOptions::default()
    };
    let ParserReturn { mut program, diagnostics, panicked, .. } =
        Parser::new(&allocator, text, source).with_options(options).parse();
    refusal(&diagnostics)?;
    if panicked {
        return Err(Refusal::whole(name, "it cannot be parsed"));
    }
    let module = program.source_type.is_module();
    let checked =
        SemanticBuilder::new().with_check_syntax_error(true).with_enum_eval(true).build(&program);
    refusal(&checked.diagnostics)?;
    let mut options = TransformOptions::default();
    options.decorator.legacy = true;
    options.helper_loader.mode = HelperLoaderMode::External;
    if !module {
        options.env.module = Module::CommonJS;
    }
    let path = std::path::Path::new(name);
    let transformed = Transformer::new(&allocator, path, &options)
        .build_with_scoping(checked.semantic.into_scoping(), &mut program);
    refusal(&transformed.diagnostics)?;
    let options = CodegenOptions {
        source_map_path: Some(path.to_owned()),
        comments: CommentOptions::disabled(),
        // What is nested deep would be mostly that.
        indent_width: 0,
        ..CodegenOptions::default()
    };
    let printed = Codegen::new().with_options(options).build(&program);
    let tokens = printed.map.iter().flat_map(|map| {
        map.get_tokens().map(|token| {
            let (to, from) = ((token.get_dst_line(), token.get_dst_col()), token.get_src_line());
            (to, (from, token.get_src_col()))
        })
    });
    let positions = Positions::new(tokens.collect());
    Ok(Stripped { module, positions, text: printed.code })
}

/// Refuses what is too large, or nested too deep.
fn check(name: &str, text: &str) -> Result<(), Refusal> {
    if text.len() > LARGEST {
        let reason = format!("a file of TypeScript may have {LARGEST} bytes");
        return Err(Refusal::whole(name, &reason));
    }
    // Each part of a name is a namespace of its own, in the one before it.
    for (at, _) in text.match_indices("namespace").chain(text.match_indices("module")) {
        let rest = text[at..].trim_start_matches(char::is_alphabetic).trim_start();
        let end = rest.find(['{', '(', ';', '=', '"']).unwrap_or(rest.len());
        if rest[..end].split('.').count() > LONGEST {
            let reason = format!("a namespace may have {LONGEST} names");
            return Err(Refusal::at(name, text, at, &reason));
        }
    }
    let mut depth = 0_usize;
    for (at, letter) in text.bytes().enumerate() {
        match letter {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            let reason = format!("brackets may be nested {DEEPEST} deep");
            return Err(Refusal::at(name, text, at, &reason));
        }
    }
    Ok(())
}

fn refusal(name: &str, text: &str, error: &OxcDiagnostic) -> Refusal {
    debug_assert_eq!(error.severity, Severity::Error);
    let at = error.labels.first().map(|label| label.offset());
    let mut reason = error.message.to_string();
    if let Some(help) = &error.help {
        reason += &format!(" ({help})");
    }
    match at {
        Some(at) => Refusal::at(name, text, usize::try_from(at).unwrap_or(0), &reason),
        None => Refusal::whole(name, &reason),
    }
}

/// Runs something that calls itself as deep as its text is nested; nothing where there is no room.
fn on_a_deep_stack<T: Send>(action: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let thread = thread.spawn_scoped(scope, action).ok()?;
        Some(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
