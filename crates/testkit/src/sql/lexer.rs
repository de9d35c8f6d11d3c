/// A word, a sign or a literal.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    End,
    /// A name that is no key word.
    Name(&'a str),
    Word(Word),
    /// `=`, `<>`, `<`, `<=`, `>`, `>=`, `(`, `)`, `,`, `-` or `+`.
    Sign(&'static str),
    /// Without its quotes; two of them inside stand for one.
    Text(String),
    /// Digits, and perhaps an `L`, which means nothing.
    Whole(&'a str),
    /// With a point or an exponent.
    Fraction(&'a str),
}

/// A key word, in capitals or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Not,
    And,
    Or,
    Between,
    In,
    True,
    False,
    Null,
    Is,
    Contains,
    StartsWith,
    EndsWith,
}

const WORDS: [(&str, Word); 12] = [
    ("NOT", Word::Not),
    ("AND", Word::And),
    ("OR", Word::Or),
    ("BETWEEN", Word::Between),
    ("IN", Word::In),
    ("TRUE", Word::True),
    ("FALSE", Word::False),
    ("NULL", Word::Null),
    ("IS", Word::Is),
    ("CONTAINS", Word::Contains),
    ("STARTSWITH", Word::StartsWith),
    ("ENDSWITH", Word::EndsWith),
];

/// The longer ones first.
const SIGNS: [&str; 11] = ["<>", "<=", ">=", "<", ">", "=", "(", ")", ",", "-", "+"];

/// Cuts a text into tokens, one at a time: what nobody asks for is never looked at.
pub(super) struct Lexer<'a> {
    text: &'a str,
    /// Where the next token begins, or the blanks before it.
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next token and where it begins.
    pub(super) fn next(&mut self) -> Result<(usize, Token<'a>), String> {
        self.pass_blanks()?;
        let start = self.at;
        let rest = &self.text[start..];
        let (length, token) = match rest.as_bytes().first() {
            None => (0, Token::End),
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$') => word(rest),
            Some(b'0'..=b'9' | b'.') => number(rest).ok_or_else(|| self.unreadable())?,
            Some(b'\'') => text(rest).ok_or_else(|| self.unreadable())?,
            Some(_) => {
                let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign)).ok_or_else(|| self.unreadable())?;
                (sign.len(), Token::Sign(sign))
            }
        };
        self.at += length;
        Ok((start, token))
    }

    /// What was read of the token that begins there.
    pub(super) fn read_since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    /// "line 1, column 3".
    pub(super) fn place(&self, at: usize) -> String {
        let before = &self.text[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = 1 + before.matches('\n').count();
        format!("line {line}, column {}", 1 + before[line_start..].chars().count())
    }

    /// Blanks and comments. A comment to the end of its line needs that end.
    fn pass_blanks(&mut self) -> Result<(), String> {
        loop {
            let rest = &self.text[self.at..];
            let blanks = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']).len();
            let comment = if rest.starts_with("--") {
                rest.find(['\n', '\r']).map_or(0, |end| end + 1)
            } else if let Some(inside) = rest.strip_prefix("/*") {
                let length = inside.find("*/").ok_or_else(|| self.unreadable())?;
                2 + length + 2
            } else {
                0
            };
            if blanks + comment == 0 {
                return Ok(());
            }
            self.at += blanks.max(comment);
        }
    }

    fn unreadable(&self) -> String {
        let character = self.text[self.at..].chars().next().unwrap_or_default();
        format!("Cannot read {:?} at {}.", character.to_string(), self.place(self.at))
    }
}

fn word(rest: &str) -> (usize, Token<'_>) {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$');
    let length = count(rest, is_part);
    let name = &rest[..length];
    let word = WORDS.iter().find(|(word, _)| name.eq_ignore_ascii_case(word));
    (length, word.map_or(Token::Name(name), |(_, word)| Token::Word(*word)))
}

/// The longest number: `007` is three, `1.e` is `1.` and a name.
fn number(rest: &str) -> Option<(usize, Token<'_>)> {
    let digits = |from: usize| count(&rest[from..], u8::is_ascii_digit);
    let whole = digits(0);
    let mut end = whole;
    if rest[end..].starts_with('.') {
        end += 1 + digits(end + 1);
        if end == 1 {
            return None; // a point alone
        }
    }
    if rest[end..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    if end > whole {
        return Some((end, Token::Fraction(&rest[..end])));
    }
    // A zero stands alone.
    let length = if rest.starts_with('0') { 1 } else { whole + usize::from(rest[whole..].starts_with(['l', 'L'])) };
    Some((length, Token::Whole(&rest[..length])))
}

fn text(rest: &str) -> Option<(usize, Token<'_>)> {
    let mut text = String::new();
    let mut at = 1;
    loop {
        let length = rest[at..].find('\'')?;
        text.push_str(&rest[at..at + length]);
        at += length + 1;
        if !rest[at..].starts_with('\'') {
            return Some((at, Token::Text(text)));
        }
        text.push('\'');
        at += 1;
    }
}

fn count(text: &str, belongs: impl Fn(&u8) -> bool) -> usize {
    text.bytes().take_while(belongs).count()
}
