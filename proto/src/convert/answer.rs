//! Answers of a twin as responses. An answer of another kind than was asked for is a fault of the
//! one who routed it, and comes back as it is.

use pollux_twin::TwinKey;
use pollux_twin::output::Answer;

use super::device::device_to_v1;
use super::twin::command_to_v1;
use crate::v1;

/// Of a patch.
pub fn written(answer: Answer) -> Result<v1::PatchTwinResponse, Answer> {
    match answer {
        Answer::Written { section, version } => {
            Ok(v1::PatchTwinResponse { section: v1::Section::from(section).into(), version })
        }
        other => Err(other),
    }
}

/// Of a deletion.
pub fn deleted(answer: Answer) -> Result<v1::DeleteTwinResponse, Answer> {
    match answer {
        Answer::Deleted { version } => Ok(v1::DeleteTwinResponse { version }),
        other => Err(other),
    }
}

/// Of a call to the registry.
pub fn registered(key: &TwinKey, answer: Answer) -> Result<v1::Device, Answer> {
    match answer {
        Answer::Registration(entry) => Ok(device_to_v1(key, &entry)),
        other => Err(other),
    }
}

/// Of sending, reading or cancelling a command.
pub fn sent(answer: Answer) -> Result<v1::Command, Answer> {
    match answer {
        Answer::Command(command) => Ok(command_to_v1(&command)),
        other => Err(other),
    }
}
