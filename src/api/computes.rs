//! Computes: named pools of slots on the machines that execute runs.
//!
//! A cluster (`amlcompute`) has as many slots as it may have instances, a compute instance has one.
//! Its size says how many cores and how much memory a slot has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Done, Time, operation};

pub const CLUSTER: &str = "amlcompute";
pub const INSTANCE: &str = "computeinstance";

/// The size that is meant where none is named.
pub const DEFAULT_SIZE: &str = "STANDARD_DS3_V2";

/// What was done to a compute instance that was idle for longer than it says.
pub const IDLE_SHUTDOWN: &str = "IdleShutdown";

/// What a compute is doing, where it is a machine of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ComputeState {
    Running,
    Stopped,
}

impl ComputeState {
    pub fn name(self) -> &'static str {
        match self {
            ComputeState::Running => "Running",
            ComputeState::Stopped => "Stopped",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compute {
    /// Compared without regard to case.
    pub name: String,
    /// As Azure's YAML names it: `amlcompute`, `computeinstance`, `virtualmachine`, `kubernetes`,
    /// `synapsespark`.
    #[serde(rename = "type")]
    pub kind: String,
    pub location: String,
    /// The rest, in the words of Azure's YAML: `size`, `min_instances`, `max_instances`,
    /// `idle_time_before_scale_down`, …. Passwords are kept sealed and not shown.
    pub spec: Map<String, Value>,
    pub description: String,
    pub tags: BTreeMap<String, String>,
    /// Of compute instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ComputeState>,
    /// What was done to it last: `Create`, `Start`, `Stop`, `Restart`, `IdleShutdown`.
    pub last_operation: String,
    /// What a slot has, where the size is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    pub created_by: String,
    pub created_at: Time,
    pub updated_at: Time,
}

impl Compute {
    /// How many runs it executes at once; no limit of its own for attached ones.
    pub fn slots(&self) -> Option<u64> {
        match self.kind.as_str() {
            CLUSTER => self.spec.get("max_instances").and_then(Value::as_u64),
            INSTANCE => Some(u64::from(self.state != Some(ComputeState::Stopped))),
            _ => None,
        }
    }
}

/// What a machine of a size has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Size {
    pub name: String,
    /// Sizes of a family share a quota.
    pub family: String,
    pub cores: u32,
    pub memory_gb: f64,
    pub gpus: u32,
}

/// Creates a compute, or replaces what one of the same name and type says.
#[derive(Clone, Serialize, Deserialize)]
pub struct CreateCompute {
    pub workspace: String,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// That of the workspace when absent.
    #[serde(default)]
    pub location: Option<String>,
    #[serde(default)]
    pub spec: Map<String, Value>,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}
operation!(CreateCompute => Compute, "computes.create");

/// The computes of a workspace, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListComputes {
    pub workspace: String,
    /// Of one type alone.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
}
operation!(ListComputes => Vec<Compute>, "computes.list");

/// One compute.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetCompute {
    pub workspace: String,
    pub name: String,
}
operation!(GetCompute => Compute, "computes.get");

/// Starts, stops or starts again a compute instance. One that is so already is no error.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SwitchCompute {
    pub workspace: String,
    pub name: String,
    pub to: Switch,
}
operation!(SwitchCompute => Compute, "computes.switch");

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    Start,
    Stop,
    Restart,
}

/// Deletes a compute. Its runs go on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteCompute {
    pub workspace: String,
    pub name: String,
}
operation!(DeleteCompute => Done, "computes.delete");

/// Sizes whose name does not tell all of what they have: name, family, cores, memory in GB, GPUs.
const KNOWN: [(&str, &str, u32, f64, u32); 62] = [
    ("Standard_A1_v2", "standardAv2Family", 1, 2.0, 0),
    ("Standard_A2_v2", "standardAv2Family", 2, 4.0, 0),
    ("Standard_A4_v2", "standardAv2Family", 4, 8.0, 0),
    ("Standard_A8_v2", "standardAv2Family", 8, 16.0, 0),
    ("Standard_D1", "standardDFamily", 1, 3.5, 0),
    ("Standard_D2", "standardDFamily", 2, 7.0, 0),
    ("Standard_D3", "standardDFamily", 4, 14.0, 0),
    ("Standard_D4", "standardDFamily", 8, 28.0, 0),
    ("Standard_D1_v2", "standardDv2Family", 1, 3.5, 0),
    ("Standard_D2_v2", "standardDv2Family", 2, 7.0, 0),
    ("Standard_D3_v2", "standardDv2Family", 4, 14.0, 0),
    ("Standard_D4_v2", "standardDv2Family", 8, 28.0, 0),
    ("Standard_D11_v2", "standardDv2Family", 2, 14.0, 0),
    ("Standard_D12_v2", "standardDv2Family", 4, 28.0, 0),
    ("Standard_D13_v2", "standardDv2Family", 8, 56.0, 0),
    ("Standard_D14_v2", "standardDv2Family", 16, 112.0, 0),
    ("Standard_DS1_v2", "standardDSv2Family", 1, 3.5, 0),
    ("Standard_DS2_v2", "standardDSv2Family", 2, 7.0, 0),
    ("Standard_DS3_v2", "standardDSv2Family", 4, 14.0, 0),
    ("Standard_DS4_v2", "standardDSv2Family", 8, 28.0, 0),
    ("Standard_DS5_v2", "standardDSv2Family", 16, 56.0, 0),
    ("Standard_DS11_v2", "standardDSv2Family", 2, 14.0, 0),
    ("Standard_DS12_v2", "standardDSv2Family", 4, 28.0, 0),
    ("Standard_DS13_v2", "standardDSv2Family", 8, 56.0, 0),
    ("Standard_DS14_v2", "standardDSv2Family", 16, 112.0, 0),
    ("Standard_DS15_v2", "standardDSv2Family", 20, 140.0, 0),
    ("Standard_D4s_v3", "standardDSv3Family", 4, 16.0, 0),
    ("Standard_D8s_v3", "standardDSv3Family", 8, 32.0, 0),
    ("Standard_D16s_v3", "standardDSv3Family", 16, 64.0, 0),
    ("Standard_D32s_v3", "standardDSv3Family", 32, 128.0, 0),
    ("Standard_D64s_v3", "standardDSv3Family", 64, 256.0, 0),
    ("Standard_E4s_v3", "standardESv3Family", 4, 32.0, 0),
    ("Standard_E8s_v3", "standardESv3Family", 8, 64.0, 0),
    ("Standard_E16s_v3", "standardESv3Family", 16, 128.0, 0),
    ("Standard_E32s_v3", "standardESv3Family", 32, 256.0, 0),
    ("Standard_E64s_v3", "standardESv3Family", 64, 432.0, 0),
    ("Standard_F2s_v2", "standardFSv2Family", 2, 4.0, 0),
    ("Standard_F4s_v2", "standardFSv2Family", 4, 8.0, 0),
    ("Standard_F8s_v2", "standardFSv2Family", 8, 16.0, 0),
    ("Standard_F16s_v2", "standardFSv2Family", 16, 32.0, 0),
    ("Standard_F32s_v2", "standardFSv2Family", 32, 64.0, 0),
    ("Standard_F64s_v2", "standardFSv2Family", 64, 128.0, 0),
    ("Standard_F72s_v2", "standardFSv2Family", 72, 144.0, 0),
    ("Standard_NC6", "standardNCFamily", 6, 56.0, 1),
    ("Standard_NC12", "standardNCFamily", 12, 112.0, 2),
    ("Standard_NC24", "standardNCFamily", 24, 224.0, 4),
    ("Standard_NC24r", "standardNCFamily", 24, 224.0, 4),
    ("Standard_NC6s_v3", "standardNCSv3Family", 6, 112.0, 1),
    ("Standard_NC12s_v3", "standardNCSv3Family", 12, 224.0, 2),
    ("Standard_NC24s_v3", "standardNCSv3Family", 24, 448.0, 4),
    ("Standard_NC24rs_v3", "standardNCSv3Family", 24, 448.0, 4),
    (
        "Standard_NC4as_T4_v3",
        "standardNCASv3_T4Family",
        4,
        28.0,
        1,
    ),
    (
        "Standard_NC8as_T4_v3",
        "standardNCASv3_T4Family",
        8,
        56.0,
        1,
    ),
    (
        "Standard_NC16as_T4_v3",
        "standardNCASv3_T4Family",
        16,
        110.0,
        1,
    ),
    (
        "Standard_NC64as_T4_v3",
        "standardNCASv3_T4Family",
        64,
        440.0,
        4,
    ),
    (
        "Standard_NC24ads_A100_v4",
        "standardNCADSA100v4Family",
        24,
        220.0,
        1,
    ),
    (
        "Standard_NC48ads_A100_v4",
        "standardNCADSA100v4Family",
        48,
        440.0,
        2,
    ),
    (
        "Standard_NC96ads_A100_v4",
        "standardNCADSA100v4Family",
        96,
        880.0,
        4,
    ),
    ("Standard_ND40rs_v2", "standardNDSv2Family", 40, 672.0, 8),
    (
        "Standard_ND96asr_v4",
        "standardNDASv4_A100Family",
        96,
        900.0,
        8,
    ),
    (
        "Standard_ND96amsr_A100_v4",
        "standardNDAMSv4_A100Family",
        96,
        1900.0,
        8,
    ),
    ("Standard_NV6", "standardNVFamily", 6, 56.0, 1),
];

/// The sizes that are listed. Others are understood too, see [`Size::named`].
pub fn sizes() -> impl Iterator<Item = Size> {
    KNOWN
        .iter()
        .map(|(name, family, cores, memory_gb, gpus)| Size {
            name: (*name).to_owned(),
            family: (*family).to_owned(),
            cores: *cores,
            memory_gb: *memory_gb,
            gpus: *gpus,
        })
}

impl Size {
    /// The size of that name, in any case. Of one that is not in the list the name tells the cores,
    /// and a core has 4 GB (8 in families E and M, 2 in F).
    pub fn named(name: &str) -> Option<Self> {
        if let Some(known) = sizes().find(|size| size.name.eq_ignore_ascii_case(name)) {
            return Some(known);
        }
        let lower = name.to_ascii_lowercase();
        let rest = lower.strip_prefix("standard_")?;
        let at = rest.find(|c: char| c.is_ascii_digit())?;
        let family = &rest[..at];
        let digits = rest[at..].split(|c: char| !c.is_ascii_digit()).next()?;
        let cores = digits
            .parse()
            .ok()
            .filter(|cores| (1..=1024).contains(cores))?;
        if family.is_empty() || !family.chars().all(|c| c.is_ascii_alphabetic()) {
            return None;
        }
        let per_core = match family.chars().next() {
            Some('e' | 'm') => 8.0,
            Some('f') => 2.0,
            _ => 4.0,
        };
        Some(Self {
            name: name.to_owned(),
            family: format!("standard{}Family", family.to_uppercase()),
            cores,
            memory_gb: f64::from(cores) * per_core,
            gpus: u32::from(family.starts_with('n')),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Size;

    #[test]
    fn sizes_are_known_or_told_by_their_name() {
        let size =
            |name: &str| Size::named(name).map(|size| (size.cores, size.memory_gb, size.gpus));
        assert_eq!(size("STANDARD_DS3_v2"), Some((4, 14.0, 0)));
        assert_eq!(size("standard_nc12"), Some((12, 112.0, 2)));
        assert_eq!(size("Standard_D48ads_v5"), Some((48, 192.0, 0)));
        assert_eq!(size("Standard_E2_v5"), Some((2, 16.0, 0)));
        assert_eq!(size("Standard_NC99xs_v9"), Some((99, 396.0, 1)));
        for wrong in [
            "large",
            "Standard_",
            "Standard_4",
            "Standard_D",
            "Standard_D0",
            "Standard_D9999",
        ] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }
}
