//! Applications: what they consist of, how they are found, and how their pages run.

mod catalog;
mod deploy;
mod file;
mod page;
mod redeploy;
mod session_object;
mod sites;

pub(crate) use catalog::{Catalog, Resource};
pub(crate) use deploy::Deployer;
pub(crate) use page::PageRequest;
pub(crate) use redeploy::Redeployment;
