//! Bring-up.
mod download;
mod efuse_read;
mod mac;
mod power;
mod queues;
