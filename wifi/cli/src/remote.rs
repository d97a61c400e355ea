//! Adapters on other machines, over USB/IP.
//!
//! Neighbours: [`crate::devices`] chooses one, [`crate::session`] opens it; [`crate::export`] is the other end.

use airlift_hcd::usbip::protocol::EXPORT_PATH;
use airlift_hcd::usbip::{ImportError, ImportOptions};
use airlift_hcd::{HostController, Layer, Port, UsbDevice};

use crate::exit::{Exit, Failure};

/// An adapter that a USB/IP server exports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Remote {
    /// `host:port`.
    pub(crate) server: String,
    /// The server's name for it: `1-1`.
    pub(crate) bus_id: String,
}

impl Remote {
    /// Imports it to `controller`, and nothing else: a server need not have a list, nor take a second connection.
    ///
    /// # Errors
    /// The server is not there, hangs, or does not give it.
    pub(crate) async fn open(
        &self,
        controller: &HostController,
        layers: &[&dyn Layer],
    ) -> Result<Port, Failure> {
        let options = ImportOptions::new();
        controller.import(&self.server, &self.bus_id, options, layers).await.map_err(Failure::from)
    }
}

/// Whether the server that `device` is from says that it is Airlift's, so that what it exports is an adapter in
/// software.
pub(crate) fn is_ours(device: &UsbDevice) -> bool {
    device.info().remote_path.as_ref().is_some_and(|path| path.starts_with(EXPORT_PATH))
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        let message = error.to_string();
        match error {
            ImportError::Connect { .. } | ImportError::Timeout { .. } => Self::new(Exit::NoAdapter, message)
                .help("on the other machine: airlift export, or usbipd and usbip bind; and a way through its firewall"),
            ImportError::NoDevice { server, .. } => {
                let host = server.rsplit_once(':').map_or(&*server, |(host, _)| host).to_owned();
                Self::new(Exit::NoAdapter, message).help(format!("usbip list --remote {host} shows what it exports"))
            }
            ImportError::Busy { .. } => {
                Self::new(Exit::Busy, message).help("end the program, or usbip detach it, where it is in use")
            }
            ImportError::Ended { .. } => Self::new(Exit::NoAdapter, message)
                .help("the server ended it: too many connections, or no USB/IP server; what does it say?"),
            ImportError::Refused { .. } => Self::new(Exit::NoAdapter, message),
            _ => Self::failed(message),
        }
    }
}
