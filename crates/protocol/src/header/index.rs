use std::ops::Range;

/// How many ext fields are remembered; servers answer the hot requests with fewer.
const PLACES: usize = 8;
/// Stands for "more, or others, than could be remembered".
const SPILLED: u8 = u8::MAX;

/// Where the ext fields of a header stand: noted while it is checked, so that nobody has to look for them a second time.
/// Fields that need work (blanks, escapes, numbers, `null`) or find no place are not noted; then all of them are read anew.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FieldIndex {
    count: u8,
    places: [Place; PLACES],
}

/// Name and value of one field, as ranges of the header. Headers that are read have at most 64 KiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    name: (u16, u16),
    value: (u16, u16),
}

impl FieldIndex {
    #[inline]
    pub(crate) fn note(&mut self, name: Range<usize>, value: Range<usize>) {
        match (short(&name), short(&value), self.places.get_mut(usize::from(self.count))) {
            (Some(name), Some(value), Some(place)) => {
                *place = Place { name, value };
                self.count += 1;
            }
            _ => self.spill(),
        }
    }

    /// A field could not be noted.
    pub(crate) fn spill(&mut self) {
        self.count = SPILLED;
    }

    /// All fields; `None` when some could not be noted.
    pub(crate) fn places(&self) -> Option<&[Place]> {
        self.places.get(..usize::from(self.count))
    }
}

impl Place {
    #[inline]
    pub(crate) fn name<'a>(&self, header: &'a [u8]) -> &'a [u8] {
        slice(self.name, header)
    }

    #[inline]
    pub(crate) fn value<'a>(&self, header: &'a [u8]) -> &'a [u8] {
        slice(self.value, header)
    }
}

#[inline]
fn slice((start, end): (u16, u16), header: &[u8]) -> &[u8] {
    header.get(usize::from(start)..usize::from(end)).unwrap_or_default()
}

#[inline]
fn short(range: &Range<usize>) -> Option<(u16, u16)> {
    Some((u16::try_from(range.start).ok()?, u16::try_from(range.end).ok()?))
}
