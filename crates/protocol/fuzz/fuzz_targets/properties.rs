//! Property texts: a look-up finds what going through finds last; set and remove touch one name only.
#![no_main]

use std::collections::BTreeMap;

use ferrocket_model::properties;
use libfuzzer_sys::fuzz_target;

fn map(text: &str) -> BTreeMap<String, String> {
    properties::pairs(text).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fuzz_target!(|input: (String, String, String)| {
    let (text, name, value) = input;
    let all = map(&text);
    for (name, value) in &all {
        assert_eq!(properties::find(&text, name), Some(value.as_str()));
    }
    assert_eq!(properties::find(&text, &name), all.get(&name).map(String::as_str));

    let mut removed = text.clone();
    properties::remove(&mut removed, &name);
    let mut expected = all.clone();
    expected.remove(&name);
    assert_eq!(map(&removed), expected);

    // Setting a pair appends it to a text that ends with a separator, as every text of ours does.
    let ends = text.is_empty() || text.ends_with(properties::PAIR_SEPARATOR);
    if ends && !name.is_empty() && !value.is_empty() && properties::is_clean(&name) && properties::is_clean(&value) {
        let mut set = text;
        properties::set(&mut set, &name, &value);
        expected.insert(name.clone(), value.clone());
        assert_eq!(map(&set), expected);
        assert_eq!(properties::find(&set, &name), Some(value.as_str()));
        assert_eq!(properties::pairs(&set).filter(|(other, _)| *other == name).count(), 1);
    }
});
