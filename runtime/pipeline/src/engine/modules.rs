//! ES modules, and the loading of the script itself.

use std::sync::Arc;

use rquickjs::loader::{ImportAttributes, Loader, Resolver};
use rquickjs::module::Declared;
use rquickjs::{CatchResultExt, Ctx, Error, Module, Object, Result};

use super::{Shared, dispatch, explain, files};

/// What the names of the built-in modules begin with, once they are resolved.
const BUILTIN: &str = "brigantine:module/";

/// Finds what an `import` names.
pub(super) struct Names(pub(super) Arc<Shared>);

/// Gives the text of what was found.
pub(super) struct Sources(pub(super) Arc<Shared>);

impl Resolver for Names {
    fn resolve<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        base: &str,
        name: &str,
        _attributes: Option<ImportAttributes<'js>>,
    ) -> Result<String> {
        if name.starts_with("./") || name.starts_with("../") {
            if self.0.workspace().is_none() {
                return dispatch::<String>(ctx, ("members", name)).and(Err(Error::Unknown));
            }
            return files::resolve(self.0.workspace(), base, name)
                .map_err(|error| error.throw(ctx));
        }
        // Throws what `require` throws where there is no such module.
        let _members: String = dispatch(ctx, ("members", name))?;
        Ok(format!("{BUILTIN}{name}"))
    }
}

impl Loader for Sources {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        _attributes: Option<ImportAttributes<'js>>,
    ) -> Result<Module<'js, Declared>> {
        self.0.one_more_module(ctx)?;
        if let Some(builtin) = name.strip_prefix(BUILTIN) {
            let members: String = dispatch(ctx, ("members", builtin))?;
            let members: Vec<String> = serde_json::from_str(&members).unwrap_or_default();
            let mut text = "const module = import.meta.module; export default module;".to_owned();
            for (index, member) in members.iter().enumerate() {
                text += &format!(
                    "const m{index} = module.{member}; export {{ m{index} as {member} }};"
                );
            }
            let module = Module::declare(ctx.clone(), name, text)?;
            let exports: Object<'js> = dispatch(ctx, ("member", builtin))?;
            module.meta()?.set("module", exports)?;
            return Ok(module);
        }
        let text = files::text(self.0.workspace(), name).map_err(|error| error.throw(ctx))?;
        let text = if name.ends_with(".json") { format!("export default {text}") } else { text };
        declare(ctx, name, text)
    }
}

fn declare<'js>(ctx: &Ctx<'js>, name: &str, text: String) -> Result<Module<'js, Declared>> {
    let module = Module::declare(ctx.clone(), name, text)?;
    module.meta()?.set("url", format!("file:///{name}"))?;
    Ok(module)
}

/// Evaluates the script; answers with what it threw.
pub(super) fn load(shared: &Shared, ctx: &Ctx<'_>, name: &str, text: &str) -> Option<String> {
    let module = std::path::Path::new(name).extension().is_some_and(|extension| extension == "mjs");
    if !module {
        let error = dispatch::<()>(ctx, ("load", name, text)).catch(ctx).err()?;
        // What is no script may be a module; if it is neither, it was meant to be a script.
        if !is_syntax_error(&error) || !looks_like_module(text) {
            return Some(explain(ctx, error));
        }
    }
    if let Err(error) =
        shared.one_more_module(ctx).and_then(|()| evaluate(ctx, name, text)).catch(ctx)
    {
        return Some(explain(ctx, error));
    }
    None
}

fn evaluate(ctx: &Ctx<'_>, name: &str, text: &str) -> Result<()> {
    let (_module, promise) = declare(ctx, name, text.to_owned())?.eval()?;
    dispatch(ctx, ("loading", promise))
}

fn is_syntax_error(error: &rquickjs::CaughtError<'_>) -> bool {
    match error {
        rquickjs::CaughtError::Exception(exception) => {
            exception.as_object().get::<_, String>("name").is_ok_and(|name| name == "SyntaxError")
        }
        rquickjs::CaughtError::Value(_) | rquickjs::CaughtError::Error(_) => false,
    }
}

fn looks_like_module(text: &str) -> bool {
    let statement = |line: &str, word: &str| {
        let rest = line.trim_start().strip_prefix(word);
        rest.is_some_and(|rest| rest.starts_with([' ', '{', '*', '"', '\'', '\t']))
    };
    text.lines().any(|line| statement(line, "import") || statement(line, "export"))
        || text.contains("await ")
}
