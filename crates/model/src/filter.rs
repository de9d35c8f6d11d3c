/// Which messages of a topic a consumer wants.
///
/// `From<&str>` and `From<String>` read a tag expression: `"*"`, `"paid"`, `"paid || refunded"`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "MessageSelector")]
#[doc(alias = "FilterExpression")]
pub struct Filter {
    expression: String,
    kind: FilterKind,
}

/// How an expression is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "ExpressionType")]
pub enum FilterKind {
    /// Tags separated by `||`, or `*`.
    #[doc(alias = "TAG")]
    Tags,
    /// SQL92 over message properties, evaluated by the broker.
    #[doc(alias = "SQL92")]
    Sql,
}

impl Filter {
    /// Every message.
    pub fn all() -> Self {
        Self { expression: "*".to_owned(), kind: FilterKind::Tags }
    }

    /// Messages with one of these tags. An empty list is refused by `build` (CON-SUB-01).
    pub fn tags<T: AsRef<str>>(tags: impl IntoIterator<Item = T>) -> Self {
        let mut expression = String::new();
        for tag in tags {
            if !expression.is_empty() {
                expression.push_str("||");
            }
            expression.push_str(tag.as_ref());
        }
        if expression.is_empty() {
            expression.push_str("||"); // separators only: an error, as in Java, instead of "everything"
        }
        Self { expression, kind: FilterKind::Tags }
    }

    /// Messages whose properties match an SQL92 expression. The broker compiles and evaluates it; it must have
    /// `enablePropertyFilter` on.
    #[doc(alias = "SQL92")]
    #[doc(alias = "bySql")]
    pub fn sql(expression: impl Into<String>) -> Self {
        Self { expression: expression.into(), kind: FilterKind::Sql }
    }

    /// The expression as it goes to the broker: `*` for everything.
    pub fn expression(&self) -> &str {
        match self.kind {
            FilterKind::Tags if self.expression.is_empty() => "*",
            _ => &self.expression,
        }
    }

    /// How the expression is read.
    pub fn kind(&self) -> FilterKind {
        self.kind
    }

    /// The tags of a tag expression: trimmed, without blanks and duplicates, in order. Empty for "everything" and for SQL.
    pub fn tag_list(&self) -> Vec<&str> {
        if self.kind == FilterKind::Sql || self.expression() == "*" {
            return Vec::new();
        }
        let mut tags = Vec::new();
        for tag in self.expression.split("||").map(str::trim).filter(|tag| !tag.is_empty()) {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        tags
    }

    /// What is wrong with the expression, if anything: separators without a tag, or an empty SQL text.
    pub fn check(&self) -> Result<(), &'static str> {
        match self.kind {
            FilterKind::Sql if self.expression.trim().is_empty() => Err("the SQL expression is empty"),
            FilterKind::Tags if self.expression.contains("||") && self.tag_list().is_empty() => {
                Err("the tag expression has separators but no tag; for every message say \"*\"")
            }
            _ => Ok(()),
        }
    }

    /// Whether a message with this tag passes. Brokers compare hashes only, so clients compare again (CON-FLT-01).
    /// Always true for SQL, where only the broker can tell.
    pub fn accepts_tag(&self, tag: Option<&str>) -> bool {
        if self.kind == FilterKind::Sql || self.expression() == "*" {
            return true;
        }
        let mut any = false;
        for wanted in self.expression.split("||").map(str::trim).filter(|wanted| !wanted.is_empty()) {
            any = true;
            if tag == Some(wanted) {
                return true;
            }
        }
        !any
    }
}

impl From<&str> for Filter {
    fn from(expression: &str) -> Self {
        Self { expression: expression.to_owned(), kind: FilterKind::Tags }
    }
}

impl From<String> for Filter {
    fn from(expression: String) -> Self {
        Self { expression, kind: FilterKind::Tags }
    }
}
