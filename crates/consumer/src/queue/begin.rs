use ferrocket_model::{BoxError, ConsumeFrom, Error, Failure, MessageQueue};

use crate::core::Core;

fn boxed(failure: Box<Failure>) -> BoxError {
    Error::from_failure(failure).into()
}

/// Where a queue begins that was just taken over (CON-CFW-02): at what is stored, else where the options say, meant literally. A
/// retry topic begins at its start: what was given back must not be lost. A failed read is an error, and starts nothing.
pub(crate) async fn position(core: &Core, queue: &MessageQueue) -> Result<(u64, bool), BoxError> {
    if let Some(offset) = core.progress.read(queue).await? {
        return Ok((offset, true));
    }
    let backend = &core.backend;
    let offset = match core.options.consume_from {
        _ if queue.topic().is_retry() => backend.earliest(queue).await.map_err(boxed)?,
        ConsumeFrom::Earliest => backend.earliest(queue).await.map_err(boxed)?,
        ConsumeFrom::Time(time) => backend.at_time(queue, time).await.map_err(boxed)?,
        _ => backend.latest(queue).await.map_err(boxed)?,
    };
    Ok((offset, false))
}
