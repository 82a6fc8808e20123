//! `x-kubernetes-validations`: rules in the Common Expression Language.
//!
//! A rule is compiled once, when it is first needed. Before it runs it is weighed: how many steps it
//! could take at most, given the lists and maps at hand. What all rules of one write may weigh
//! together is bounded, so that no rule can hold up the server.

mod convert;
mod weigh;

use std::sync::{Arc, LazyLock, OnceLock};

use cel::{Context, Env, Program, Value as CelValue, extensions};
use serde_json::Value;

use super::path::Path;
use super::schema::Schema;
use crate::failure::FieldError;
use crate::object;

/// How many steps all rules of one write may take.
pub(crate) const BUDGET: u64 = 2_000_000;

/// The longest text of a rule.
const LONGEST: usize = 32 * 1024;

/// The functions that rules can call.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib();
    // Neither clashes with what the standard library declares.
    let added =
        extensions::strings(&mut environment).and_then(|()| extensions::math(&mut environment));
    if let Err(error) = added {
        tracing::error!(%error, "functions for validation rules are missing");
    }
    Arc::new(environment)
});

/// One rule of a schema.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) text: String,
    message: String,
    message_expression: String,
    reason: String,
    field_path: String,
    optional_old: bool,
    compiled: OnceLock<Result<Compiled, String>>,
}

/// A rule that can run.
#[derive(Debug)]
struct Compiled {
    program: Program,
    message: Option<Program>,
    /// Whether it speaks of the object before the change.
    transition: bool,
}

impl Rule {
    pub(crate) fn read(value: &Value) -> Rule {
        let text = |key: &str| object::text(value, &[key]).to_owned();
        Rule {
            text: text("rule"),
            message: text("message"),
            message_expression: text("messageExpression"),
            reason: text("reason"),
            field_path: text("fieldPath"),
            optional_old: value["optionalOldSelf"] == true,
            compiled: OnceLock::new(),
        }
    }

    /// What is wrong with its text.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.compiled().err()
    }

    /// Whether it speaks of the object before the change.
    pub(crate) fn is_transition(&self) -> bool {
        self.compiled().is_ok_and(|compiled| compiled.transition)
    }

    fn compiled(&self) -> Result<&Compiled, &str> {
        self.compiled.get_or_init(|| self.compile()).as_ref().map_err(String::as_str)
    }

    fn compile(&self) -> Result<Compiled, String> {
        let program = compile(&self.text)?;
        let transition = program.references().has_variable("oldSelf");
        let message = match self.message_expression.trim() {
            "" => None,
            text => Some(compile(text)?),
        };
        Ok(Compiled { program, message, transition })
    }

    /// How it is named where it says nothing about itself.
    fn named(&self) -> &str {
        match self.message.trim() {
            "" => self.text.trim(),
            message => message,
        }
    }

    /// The fault of a value; a message that was made for it shows what it wants to show.
    fn error(&self, path: &Path, shown: Option<&Value>, detail: &str) -> FieldError {
        let reason = match self.reason.as_str() {
            "FieldValueForbidden" => "FieldValueForbidden",
            "FieldValueRequired" => "FieldValueRequired",
            "FieldValueDuplicate" => "FieldValueDuplicate",
            _ => "FieldValueInvalid",
        };
        let field = format!("{path}{}", self.field_path);
        let field =
            if path.to_string().is_empty() { field.trim_start_matches('.') } else { &field };
        let field = if field.is_empty() { "<nil>" } else { field };
        let shown = shown.filter(|shown| !shown.is_object() && !shown.is_array());
        let message = match reason {
            "FieldValueForbidden" => format!("Forbidden: {detail}"),
            "FieldValueRequired" => format!("Required value: {detail}"),
            "FieldValueDuplicate" => shown.map_or_else(
                || "Duplicate value".to_owned(),
                |one| format!("Duplicate value: {one}"),
            ),
            _ => match shown {
                Some(shown) => format!("Invalid value: {shown}: {detail}"),
                None => format!("Invalid value: {detail}"),
            },
        };
        FieldError { reason, field: field.to_owned(), message }
    }
}

fn compile(text: &str) -> Result<Program, String> {
    if text.len() > LONGEST {
        return Err(format!("the expression is longer than {LONGEST} bytes"));
    }
    ENVIRONMENT.compile(text.trim()).map_err(|errors| {
        let text = errors.to_string();
        format!("compilation failed: {}", text.trim_end())
    })
}

/// Runs the rules of a schema on a value, and on what is in it; `old` is what was there before.
pub(crate) fn check(schema: &Schema, value: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
    convert::add_functions(&mut context);
    let mut run = Run { budget: BUDGET, errors: Vec::new() };
    run.walk(&context, (schema, value), old, true, &Path::Root);
    run.errors
}

struct Run {
    budget: u64,
    errors: Vec<FieldError>,
}

impl Run {
    /// `root` values have the envelope of a resource. Gives whether to go on.
    fn walk(
        &mut self,
        context: &Context<'static, 'static>,
        (schema, value): (&Schema, &Value),
        old: Option<&Value>,
        root: bool,
        path: &Path,
    ) -> bool {
        if !schema.ruled {
            return true;
        }
        if value.is_null() && schema.nullable {
            return true;
        }
        if !schema.rules.is_empty() && !self.run(context, (schema, value), old, root, path) {
            return false;
        }
        match value {
            Value::Object(map) => map.iter().all(|(name, value)| {
                let before = old.and_then(|old| old.get(name)).filter(|_| !schema.atomic_map);
                match (schema.properties.get(name), &schema.additional) {
                    (Some(below), _) => {
                        let root = below.embedded;
                        self.walk(context, (below, value), before, root, &path.field(name))
                    }
                    (None, Some(below)) => {
                        self.walk(context, (below, value), before, below.embedded, &path.key(name))
                    }
                    (None, None) => true,
                }
            }),
            Value::Array(items) => {
                let Some(below) = schema.items.as_deref() else { return true };
                items.iter().enumerate().all(|(index, item)| {
                    let before = counterpart(schema, item, old);
                    self.walk(context, (below, item), before, below.embedded, &path.index(index))
                })
            }
            _ => true,
        }
    }

    fn run(
        &mut self,
        context: &Context<'static, 'static>,
        (schema, value): (&Schema, &Value),
        old: Option<&Value>,
        root: bool,
        path: &Path,
    ) -> bool {
        let mut context = context.new_inner_scope();
        context.add_variable_from_value("self", convert::value(schema, value, root));
        let mut longest = weigh::longest(value);
        if let Some(old) = old {
            longest = longest.max(weigh::longest(old));
        }
        let unchanged = old == Some(value);
        for rule in &schema.rules {
            let compiled = match rule.compiled() {
                Ok(compiled) => compiled,
                Err(fault) => {
                    self.errors.push(rule.error(
                        path,
                        Some(value),
                        &format!("rule compile error: {fault}"),
                    ));
                    continue;
                }
            };
            if compiled.transition && old.is_none() && !rule.optional_old {
                continue;
            }
            // A rule on what did not change was broken before; nobody is held up by it.
            if unchanged && !compiled.transition {
                continue;
            }
            let weight = weigh::weight(compiled.program.expression(), longest);
            if weight > self.budget {
                let detail = "validation failed due to running out of cost budget, no further validation rules will be run";
                self.errors.push(rule.error(path, Some(value), detail));
                return false;
            }
            self.budget -= weight;
            if compiled.transition {
                let before = old.map(|old| convert::value(schema, old, root));
                let before = if rule.optional_old {
                    convert::optional(before)
                } else {
                    before.unwrap_or(CelValue::Null)
                };
                context.add_variable_from_value("oldSelf", before);
            }
            match compiled.program.execute(&context) {
                Ok(CelValue::Bool(true)) => {}
                Ok(CelValue::Bool(false)) => {
                    let said = compiled.message.as_ref().and_then(|message| {
                        match message.execute(&context) {
                            Ok(CelValue::String(text)) => Some(text.trim().to_owned()),
                            _ => None,
                        }
                    });
                    let said = said.filter(|text| !text.is_empty() && !text.contains('\n'));
                    let shown = Some(value).filter(|_| said.is_none());
                    let said = said.unwrap_or_else(|| match rule.message.trim() {
                        "" => format!("failed rule: {}", rule.text.trim()),
                        message => message.to_owned(),
                    });
                    self.errors.push(rule.error(path, shown, &said));
                }
                Ok(_) => {
                    let detail = format!("cel expression evaluated to no bool: {}", rule.named());
                    self.errors.push(rule.error(path, Some(value), &detail));
                }
                // The real server may have a function that is not known here.
                Err(cel::ExecutionError::UndeclaredReference(name)) => {
                    tracing::warn!(
                        rule = rule.text,
                        function = %name,
                        "a rule is not checked, for it calls what is not known here"
                    );
                }
                Err(error) => {
                    let detail = match &error {
                        cel::ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
                        error => error.to_string(),
                    };
                    let detail = format!("{detail} evaluating rule: {}", rule.named());
                    self.errors.push(rule.error(path, Some(value), &detail));
                }
            }
        }
        true
    }
}

/// The item of the old list that has the same keys, where the list is merged by keys.
pub(crate) fn counterpart<'a>(
    schema: &Schema,
    item: &Value,
    old: Option<&'a Value>,
) -> Option<&'a Value> {
    if schema.list_type != "map" {
        return None;
    }
    old?.as_array()?
        .iter()
        .find(|one| schema.list_keys.iter().all(|key| one.get(key) == item.get(key)))
}

#[cfg(test)]
mod tests;
