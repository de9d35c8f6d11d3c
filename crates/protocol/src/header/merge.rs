use crate::FieldSink;

/// Merges extra fields (credentials, namespace, zone) into those of a request, keeping the byte order of names. An extra
/// field of a name that the request has itself is left out.
pub(crate) struct Merged<'a> {
    inner: &'a mut dyn FieldSink,
    extra: &'a [(&'static str, &'a str)],
}

impl<'a> Merged<'a> {
    pub(crate) fn new(inner: &'a mut dyn FieldSink, extra: &'a [(&'static str, &'a str)]) -> Self {
        debug_assert!(extra.is_sorted_by_key(|(name, _)| *name), "extra fields come in the order of their names");
        Self { inner, extra }
    }

    /// Writes what is left.
    pub(crate) fn finish(self) {
        for (name, value) in self.extra {
            self.inner.text(name, value);
        }
    }

    fn catch_up(&mut self, name: &str) {
        while let Some(((extra, value), rest)) = self.extra.split_first()
            && *extra <= name
        {
            if *extra != name {
                self.inner.text(extra, value);
            }
            self.extra = rest;
        }
    }
}

impl FieldSink for Merged<'_> {
    fn text(&mut self, name: &'static str, value: &str) {
        self.catch_up(name);
        self.inner.text(name, value);
    }

    fn number(&mut self, name: &'static str, value: i64) {
        self.catch_up(name);
        self.inner.number(name, value);
    }

    fn boolean(&mut self, name: &'static str, value: bool) {
        self.catch_up(name);
        self.inner.boolean(name, value);
    }
}
