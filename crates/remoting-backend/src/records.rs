use std::{fmt, mem, sync::Arc};

use bytes::Bytes;
use ferrocket_backend::Records;
use ferrocket_model::{Filter, ReceivedMessage, Source};
use ferrocket_protocol::{
    DecodeError,
    message::{StoredMessage, StoredMessages},
};

use crate::decode::{self, Decoder};

/// The messages of one pull answer: views of it, made when they are taken. In a buffer of a million messages of 128 bytes, made
/// ones would take as much again as the answers.
pub(crate) struct PulledRecords {
    answer: Bytes,
    offset_delta: i64,
    source: Arc<Source>,
    decoder: Arc<Decoder>,
    places: Vec<Place>,
}

enum Place {
    /// Where its record begins.
    Record { offset: u64, at: u32 },
    /// What has memory of its own beside the answer is made at once, so that it is counted; and what is broken.
    Made(Box<ReceivedMessage>),
}

impl PulledRecords {
    /// Those with a tag that the filter wants. Stops at a record that cannot be read, and gives back what came before it and what
    /// is wrong.
    pub(crate) fn read(
        decoder: &Arc<Decoder>,
        answer: &Bytes,
        source: &Arc<Source>,
        offset_delta: i64,
        filter: &Filter,
    ) -> (Self, Option<DecodeError>) {
        let places = Vec::with_capacity(answer.len() / 1024 + 1);
        let (source, decoder) = (source.clone(), decoder.clone());
        let mut pulled = Self { answer: answer.clone(), offset_delta, source, decoder, places };
        // Checksums are compared here, while the bodies are in the processor's cache.
        let mut records = StoredMessages::new(answer);
        let mut at = 0;
        while let Some(record) = records.next() {
            match record {
                Ok(record) => pulled.add(at, &record, filter),
                Err(error) => return (pulled, Some(error)),
            }
            at = records.position();
        }
        (pulled, None)
    }

    /// The offset of the last one.
    pub(crate) fn last(&self) -> Option<u64> {
        self.places.last().map(Place::offset)
    }

    fn add(&mut self, at: usize, record: &StoredMessage<'_>, filter: &Filter) {
        if record.sys_flag.is_inner_batch() {
            let messages = self.decoder.inner_batch(&self.answer, record, &self.source, self.offset_delta, filter);
            self.places.extend(messages.into_iter().map(|message| Place::Made(message.into())));
            return;
        }
        if !decode::wanted(filter, record.properties) {
            return;
        }
        match u32::try_from(at) {
            Ok(at) if record.is_intact && !self.decoder.unpacks(record) => {
                let offset = decode::offset(record, self.offset_delta);
                self.places.push(Place::Record { offset, at });
            }
            _ => {
                let message = self.decoder.message(&self.answer, record, &self.source, self.offset_delta);
                self.places.push(Place::Made(message.into()));
            }
        }
    }

    fn made(&self, at: usize) -> Option<ReceivedMessage> {
        let record = StoredMessages::new(&self.answer).without_crc().starting_at(at).next()?.ok()?;
        Some(self.decoder.message(&self.answer, &record, &self.source, self.offset_delta))
    }

    fn get(&self, place: &Place) -> Option<ReceivedMessage> {
        match place {
            Place::Record { at, .. } => self.made(*at as usize),
            Place::Made(message) => Some((**message).clone()),
        }
    }

    fn have_own_memory(&self) -> bool {
        self.places.iter().any(|place| matches!(place, Place::Made(_)))
    }
}

impl Place {
    fn offset(&self) -> u64 {
        match self {
            Self::Record { offset, .. } => *offset,
            Self::Made(message) => message.offset(),
        }
    }
}

impl Records for PulledRecords {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn offset(&self, place: usize) -> Option<u64> {
        self.places.get(place).map(Place::offset)
    }

    fn message(&self, place: usize) -> Option<ReceivedMessage> {
        self.get(self.places.get(place)?)
    }

    fn retain(&mut self, wanted: &mut dyn FnMut(&ReceivedMessage) -> bool) {
        let places = mem::take(&mut self.places).into_iter();
        self.places = places.filter(|place| self.get(place).is_none_or(|message| wanted(&message))).collect();
    }

    fn settle_down(&mut self) {
        // Made messages have views of the answer, which would stay, too.
        if !self.have_own_memory() {
            self.answer = Bytes::copy_from_slice(&self.answer);
            self.places.shrink_to_fit();
        }
    }

    fn retained_bytes(&self) -> usize {
        let views = self.answer.as_ptr_range();
        let unpacked = self.places.iter().map(|place| match place {
            Place::Made(message) if !views.contains(&message.body().as_ptr()) => message.body().len(),
            _ => 0,
        });
        self.answer.len() + unpacked.sum::<usize>()
    }
}

impl fmt::Debug for PulledRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PulledRecords")
            .field("queue", &self.source.queue)
            .field("messages", &self.places.len())
            .field("bytes", &self.answer.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
