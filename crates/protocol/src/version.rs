/// The protocol version that we claim: the number of release 5.5.0. Servers infer from it that we read standard JSON routes
/// (from 401) and understand GO_AWAY (above 475).
pub const VERSION: i32 = 513;

/// The release that a version number of a header stands for, such as `V5_5_0`; releases count in steps of two from some
/// known points, so numbers of unknown releases are shown as numbers.
pub fn version_name(version: i32) -> String {
    const KNOWN: [(i32, &str); 14] = [
        (121, "V3_4_9"),
        (213, "V4_0_0"),
        (233, "V4_1_0"),
        (399, "V4_9_3"),
        (401, "V4_9_4"),
        (407, "V4_9_7"),
        (409, "V4_9_8"),
        (413, "V5_0_0"),
        (433, "V5_1_0"),
        (453, "V5_2_0"),
        (473, "V5_3_0"),
        (479, "V5_3_3"),
        (493, "V5_4_0"),
        (513, "V5_5_0"),
    ];
    KNOWN
        .iter()
        .find(|(number, _)| *number == version)
        .map_or_else(|| format!("version {version}"), |(_, name)| (*name).to_owned())
}
