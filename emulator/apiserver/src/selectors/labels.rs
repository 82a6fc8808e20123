//! Label selectors: `a=b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`, `!a`, `a>1`, `a<1`.

use serde_json::Value;

use crate::names;

/// A parsed selector; all requirements must hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Labels {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone)]
struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Exists,
    Absent,
    Above,
    Below,
}

impl Labels {
    /// # Errors
    /// The message of the real server.
    pub(crate) fn parse(text: &str) -> Result<Labels, String> {
        let mut parser = Parser { tokens: tokens(text), at: 0 };
        let mut requirements = Vec::new();
        if parser.peek() == &Token::End {
            return Ok(Labels::default());
        }
        loop {
            match parser.peek() {
                Token::Word(_) | Token::Not => {
                    let requirement = parser
                        .requirement()
                        .map_err(|error| format!("unable to parse requirement: {error}"))?;
                    requirements.push(requirement);
                    match parser.next() {
                        Token::End => return Ok(Labels { requirements }),
                        Token::Comma => {
                            let following = parser.peek();
                            if !matches!(following, Token::Word(_) | Token::Not) {
                                return Err(format!(
                                    "found '{}', expected: identifier after ','",
                                    following.text()
                                ));
                            }
                        }
                        other => {
                            return Err(format!(
                                "found '{}', expected: ',' or 'end of string'",
                                other.text()
                            ));
                        }
                    }
                }
                Token::End => return Ok(Labels { requirements }),
                other => {
                    return Err(format!(
                        "found '{}', expected: !, identifier, or 'end of string'",
                        other.text()
                    ));
                }
            }
        }
    }

    /// The selector that an object carries, if it carries one.
    pub(crate) fn of(selector: &Value) -> Option<Labels> {
        selector.is_object().then(|| Labels::of_selector(selector))
    }

    /// A selector as objects carry it; what is malformed there selects nothing.
    pub(crate) fn of_selector(selector: &Value) -> Labels {
        let mut requirements = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            let values = vec![value.as_str().unwrap_or_default().to_owned()];
            requirements.push(Requirement { key: key.clone(), operator: Operator::In, values });
        }
        for one in selector["matchExpressions"].as_array().into_iter().flatten() {
            let values = one["values"].as_array().into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            let operator = match one["operator"].as_str().unwrap_or_default() {
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::Absent,
                "Gt" => Operator::Above,
                "Lt" => Operator::Below,
                _ => Operator::In,
            };
            let key = one["key"].as_str().unwrap_or_default().to_owned();
            requirements.push(Requirement { key, operator, values });
        }
        Labels { requirements }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.requirements.iter().all(|one| {
            let value = labels[&one.key].as_str();
            match one.operator {
                Operator::In => value.is_some_and(|value| one.values.iter().any(|v| v == value)),
                Operator::NotIn => {
                    !value.is_some_and(|value| one.values.iter().any(|v| v == value))
                }
                Operator::Exists => value.is_some(),
                Operator::Absent => value.is_none(),
                Operator::Above => compare(value, &one.values).is_some_and(|(a, b)| a > b),
                Operator::Below => compare(value, &one.values).is_some_and(|(a, b)| a < b),
            }
        })
    }
}

fn compare(value: Option<&str>, values: &[String]) -> Option<(i64, i64)> {
    Some((value?.parse().ok()?, values.first()?.parse().ok()?))
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Not,
    Open,
    Close,
    Comma,
    Equals,
    DoubleEquals,
    NotEquals,
    Above,
    Below,
    End,
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Token::Word(word) => word,
            Token::Not => "!",
            Token::Open => "(",
            Token::Close => ")",
            Token::Comma => ",",
            Token::Equals => "=",
            Token::DoubleEquals => "==",
            Token::NotEquals => "!=",
            Token::Above => ">",
            Token::Below => "<",
            Token::End => "",
        }
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let token = match letter {
            ' ' | '\t' | '\r' | '\n' => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '>' => Token::Above,
            '<' => Token::Below,
            '!' if letters.peek() == Some(&'=') => {
                letters.next();
                Token::NotEquals
            }
            '!' => Token::Not,
            '=' if letters.peek() == Some(&'=') => {
                letters.next();
                Token::DoubleEquals
            }
            '=' => Token::Equals,
            first => {
                let mut word = String::from(first);
                while let Some(next) = letters.next_if(|next| !" \t\r\n(),><!=".contains(*next)) {
                    word.push(next);
                }
                Token::Word(word)
            }
        };
        tokens.push(token);
    }
    tokens.push(Token::End);
    tokens
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let absent = *self.peek() == Token::Not;
        if absent {
            self.next();
        }
        let key = match self.next() {
            Token::Word(word) => word,
            other => return Err(format!("found '{}', expected: identifier", other.text())),
        };
        if let Some(fault) = names::label_key_faults(&key).into_iter().next() {
            return Err(format!("key: Invalid value: {key:?}: {fault}"));
        }
        if absent {
            return Ok(Requirement { key, operator: Operator::Absent, values: Vec::new() });
        }
        let (operator, values) = match self.peek().clone() {
            Token::End | Token::Comma => (Operator::Exists, Vec::new()),
            Token::Equals | Token::DoubleEquals => (Operator::In, self.single()?),
            Token::NotEquals => (Operator::NotIn, self.single()?),
            Token::Above => (Operator::Above, self.single()?),
            Token::Below => (Operator::Below, self.single()?),
            Token::Word(word) if word == "in" => (Operator::In, self.several()?),
            Token::Word(word) if word == "notin" => (Operator::NotIn, self.several()?),
            other => {
                return Err(format!(
                    "found '{}', expected: in, notin, =, ==, !=, gt, lt",
                    other.text()
                ));
            }
        };
        if matches!(operator, Operator::Above | Operator::Below)
            && !values.iter().all(|value| value.parse::<i64>().is_ok())
        {
            return Err(format!(
                "values[0][{key}]: Invalid value: {:?}: for 'Gt', 'Lt' operators, the value must be an integer",
                values[0]
            ));
        }
        for (index, value) in values.iter().enumerate() {
            if let Some(fault) = names::label_value_faults(value).into_iter().next() {
                return Err(format!("values[{index}][{key}]: Invalid value: {value:?}: {fault}"));
            }
        }
        Ok(Requirement { key, operator, values })
    }

    fn single(&mut self) -> Result<Vec<String>, String> {
        self.next();
        match self.peek().clone() {
            Token::Word(word) => {
                self.next();
                Ok(vec![word])
            }
            Token::End | Token::Comma => Ok(vec![String::new()]),
            other => Err(format!("found '{}', expected: identifier", other.text())),
        }
    }

    fn several(&mut self) -> Result<Vec<String>, String> {
        self.next();
        match self.next() {
            Token::Open => {}
            other => return Err(format!("found '{}' expected: '('", other.text())),
        }
        let mut values = Vec::new();
        loop {
            match self.next() {
                Token::Word(word) => {
                    values.push(word);
                    match self.next() {
                        Token::Comma => {}
                        Token::Close => return Ok(values),
                        other => {
                            return Err(format!("found '{}', expected: ',' or ')'", other.text()));
                        }
                    }
                }
                Token::Comma => values.push(String::new()),
                Token::Close => {
                    values.push(String::new());
                    return Ok(values);
                }
                other => {
                    return Err(format!(
                        "found '{}', expected: ',', ')' or identifier",
                        other.text()
                    ));
                }
            }
        }
    }
}
