use super::{
    lexer::{Lexer, Token, Word},
    node::{Node, Place, Size, too_deep},
    value::Value,
};

/// Brackets and signs in a row; the parser calls itself for each.
const MAX_DEPTH: usize = 128;

/// Reads as much of a text as is an expression. What follows is not looked at, but for its first token, which has to be readable.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let mut lexer = Lexer::new(text);
    let (start, token) = lexer.next()?;
    Parser { lexer, start, token, depth: 0 }.any()?.truth()
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// What comes next, and where it begins.
    token: Token<'a>,
    start: usize,
    depth: usize,
}

impl Parser<'_> {
    fn any(&mut self) -> Result<Node, String> {
        let first = self.all()?;
        if self.token != Token::Word(Word::Or) {
            return Ok(first);
        }
        let mut nodes = vec![first.truth()?];
        while self.take_word(Word::Or)? {
            nodes.push(self.all()?.truth()?);
        }
        Node::any(nodes)
    }

    fn all(&mut self) -> Result<Node, String> {
        let first = self.equality()?;
        if self.token != Token::Word(Word::And) {
            return Ok(first);
        }
        let mut nodes = vec![first.truth()?];
        while self.take_word(Word::And)? {
            nodes.push(self.equality()?.truth()?);
        }
        Node::all(nodes)
    }

    fn equality(&mut self) -> Result<Node, String> {
        let mut left = self.comparison()?;
        loop {
            left = if self.take_sign("=")? {
                left.equal(self.comparison()?)?
            } else if self.take_sign("<>")? {
                left.equal(self.comparison()?)?.not()?
            } else if self.take_word(Word::Is)? {
                let not = self.take_word(Word::Not)?;
                if !self.take_word(Word::Null)? {
                    return Err(self.unexpected("NULL"));
                }
                let is_null = left.null_test()?;
                if not { is_null.not()? } else { is_null }
            } else {
                return Ok(left);
            };
        }
    }

    fn comparison(&mut self) -> Result<Node, String> {
        let mut left = self.unary()?;
        loop {
            left = match self.token {
                Token::Sign("<") => self.compared(left, Size::Less)?,
                Token::Sign("<=") => self.compared(left, Size::AtMost)?,
                Token::Sign(">") => self.compared(left, Size::Greater)?,
                Token::Sign(">=") => self.compared(left, Size::AtLeast)?,
                Token::Word(Word::Not) => {
                    self.advance()?;
                    self.tested(left, true)?
                }
                Token::Word(Word::Between | Word::In | Word::Contains | Word::StartsWith | Word::EndsWith) => {
                    self.tested(left, false)?
                }
                _ => return Ok(left),
            };
        }
    }

    fn compared(&mut self, left: Node, size: Size) -> Result<Node, String> {
        self.advance()?;
        left.compare(size, self.unary()?)
    }

    /// What may have a NOT before it.
    fn tested(&mut self, left: Node, not: bool) -> Result<Node, String> {
        let place = match self.token {
            Token::Word(Word::Between) => return self.between(left, not),
            Token::Word(Word::In) => return left.within(self.list()?, not),
            Token::Word(Word::Contains) => Place::Anywhere,
            Token::Word(Word::StartsWith) => Place::Start,
            Token::Word(Word::EndsWith) => Place::End,
            _ => return Err(self.unexpected("BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH")),
        };
        self.advance()?;
        let text = self.text()?;
        left.find(place, text, not)
    }

    fn between(&mut self, left: Node, not: bool) -> Result<Node, String> {
        self.advance()?;
        let low = self.unary()?;
        if !self.take_word(Word::And)? {
            return Err(self.unexpected("AND"));
        }
        let high = self.unary()?;
        if not { left.not_between(low, high) } else { left.between(low, high) }
    }

    fn list(&mut self) -> Result<Vec<String>, String> {
        self.advance()?;
        if !self.take_sign("(")? {
            return Err(self.unexpected("\"(\""));
        }
        let mut list = vec![self.text()?];
        while self.take_sign(",")? {
            list.push(self.text()?);
        }
        if !self.take_sign(")")? {
            return Err(self.unexpected("\",\" or \")\""));
        }
        Ok(list)
    }

    fn unary(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(too_deep());
        }
        let node = if self.take_sign("-")? {
            self.unary()?.negate()?
        } else if self.take_sign("+")? {
            self.unary()?
        } else if self.take_word(Word::Not)? {
            self.unary()?.not()?
        } else {
            self.primary()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn primary(&mut self) -> Result<Node, String> {
        let node = match &self.token {
            Token::Name(name) => Node::property(name),
            Token::Text(text) => Node::constant(Value::Text(text.clone().into())),
            Token::Whole(digits) => Node::constant(whole(digits)?),
            Token::Fraction(digits) => Node::constant(fraction(digits)?),
            Token::Word(Word::True) => Node::constant(Value::Bool(true)),
            Token::Word(Word::False) => Node::constant(Value::Bool(false)),
            Token::Word(Word::Null) => Node::constant(Value::Null),
            Token::Sign("(") => {
                self.advance()?;
                let inner = self.any()?;
                return if self.take_sign(")")? { Ok(inner) } else { Err(self.unexpected("\")\"")) };
            }
            _ => return Err(self.unexpected("a value")),
        };
        self.advance()?;
        Ok(node)
    }

    fn text(&mut self) -> Result<String, String> {
        let Token::Text(text) = &mut self.token else { return Err(self.unexpected("a text")) };
        let text = std::mem::take(text);
        self.advance()?;
        Ok(text)
    }

    fn advance(&mut self) -> Result<(), String> {
        (self.start, self.token) = self.lexer.next()?;
        Ok(())
    }

    fn take_sign(&mut self, sign: &'static str) -> Result<bool, String> {
        self.take(&Token::Sign(sign))
    }

    fn take_word(&mut self, word: Word) -> Result<bool, String> {
        self.take(&Token::Word(word))
    }

    fn take(&mut self, token: &Token<'_>) -> Result<bool, String> {
        let is_next = self.token == *token;
        if is_next {
            self.advance()?;
        }
        Ok(is_next)
    }

    fn unexpected(&self, wanted: &str) -> String {
        let found = match self.token {
            Token::End => "the end".to_owned(),
            _ => format!("\"{:.40}\"", self.lexer.read_since(self.start)),
        };
        format!("Encountered {found} at {}, where {wanted} was expected.", self.lexer.place(self.start))
    }
}

fn whole(digits: &str) -> Result<Value<'static>, String> {
    let digits = digits.trim_end_matches(['l', 'L']);
    let long: i64 = digits.parse().map_err(|_| format!("{digits:.40} is too great a number."))?;
    Ok(i32::try_from(long).map_or(Value::Long(long), Value::Int))
}

/// Zero is refused, as by any broker: it is "too small".
fn fraction(digits: &str) -> Result<Value<'static>, String> {
    match digits.parse() {
        Ok(double) if double == f64::INFINITY => Err(format!("{digits:.40} is too great a number.")),
        Ok(0.0) => Err(format!("{digits:.40} is too small a number.")),
        Ok(double) => Ok(Value::Double(double)),
        Err(_) => Err(format!("{digits:.40} is no number.")),
    }
}
