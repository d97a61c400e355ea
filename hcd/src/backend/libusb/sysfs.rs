//! What Linux tells of its USB devices in `/sys/bus/usb/devices`: who drives an interface, which network interfaces
//! hang on it, and whether they are up. Elsewhere there is no such folder, and nothing is told.
//!
//! A device's folder is named by its bus and ports, `3-2` or `1-4.1`; its interfaces' are `3-2:1.0` (configuration 1,
//! interface 0) inside it. Source: Linux, `Documentation/ABI/testing/sysfs-bus-usb` and `sysfs-class-net`.

use std::fs;
use std::path::{Path, PathBuf};

/// An interface of a device on the system's bus.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct HostInterface {
    /// `bInterfaceNumber`.
    pub number: u8,
    /// `bInterfaceClass`; 0xff: the vendor's own.
    pub class: u8,
    /// The system's driver that has it; `usbfs` is another program.
    pub driver: Option<String>,
    /// The network interfaces that this driver made of it.
    pub networks: Vec<Network>,
}

/// A network interface of the system.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Network {
    /// Its name, such as `wlan0`.
    pub name: String,
    /// Whether it is up (`ip link set … up`), connected or not.
    pub up: bool,
}

/// `IFF_UP` of `if.h`.
const IFF_UP: u32 = 1;

/// The folder with a folder for each device.
#[derive(Clone, Debug)]
pub(super) struct Sysfs {
    root: PathBuf,
}

impl Sysfs {
    /// This system's.
    pub(super) fn system() -> Self {
        Self::at("/sys/bus/usb/devices")
    }

    pub(super) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// A device's attribute as text: `serial`, `product`.
    pub(super) fn text(&self, location: &str, attribute: &str) -> Option<String> {
        text(&self.root.join(location).join(attribute))
    }

    /// Where a device at `location` is found when it connects to the other half of its port: that of USB 3 if it is at
    /// that of USB 2, and the other way round. `None` where Linux does not know.
    pub(super) fn peer(&self, location: &str) -> Option<String> {
        let (hub, port) = match location.rsplit_once('.') {
            Some((hub, port)) => (hub.to_owned(), port),
            None => {
                let (bus, port) = location.split_once('-')?;
                (format!("usb{bus}"), port)
            }
        };
        // A hub's one interface; that of a root hub has a name of its own.
        let interface = match hub.strip_prefix("usb") {
            Some(bus) => format!("{bus}-0:1.0"),
            None => format!("{hub}:1.0"),
        };
        let folder = self.root.join(&hub).join(interface).join(format!("{hub}-port{port}"));
        let peer = fs::read_link(folder.join("peer")).ok()?;
        let peer = peer.file_name()?.to_str()?;
        let (hub, port) = peer.rsplit_once("-port")?;
        Some(match hub.strip_prefix("usb") {
            Some(bus) => format!("{bus}-{port}"),
            None => format!("{hub}.{port}"),
        })
    }

    /// The interfaces of the device at `location`, by number. Those that cannot be read are left out.
    pub(super) fn interfaces(&self, location: &str) -> Vec<HostInterface> {
        let folder = self.root.join(location);
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let mut interfaces: Vec<_> = entries
            .flatten()
            .filter(|entry| is_interface(&entry.file_name().to_string_lossy(), location))
            .filter_map(|entry| interface(&entry.path()))
            .collect();
        interfaces.sort_by_key(|interface| interface.number);
        interfaces
    }
}

/// Whether `name` is `LOCATION:CONFIGURATION.INTERFACE`.
fn is_interface(name: &str, location: &str) -> bool {
    let rest = name.strip_prefix(location).and_then(|rest| rest.strip_prefix(':'));
    rest.and_then(|rest| rest.split_once('.')).is_some_and(|(configuration, number)| {
        configuration.parse::<u8>().is_ok() && number.parse::<u8>().is_ok()
    })
}

fn interface(folder: &Path) -> Option<HostInterface> {
    let byte = |name: &str| u8::from_str_radix(&text(&folder.join(name))?, 16).ok();
    let driver = fs::read_link(folder.join("driver")).ok();
    let driver = driver.and_then(|link| Some(link.file_name()?.to_string_lossy().into_owned()));
    let mut networks: Vec<_> = fs::read_dir(folder.join("net"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| Network {
            name: entry.file_name().to_string_lossy().into_owned(),
            up: is_up(&entry.path()),
        })
        .collect();
    networks.sort_by(|a, b| a.name.cmp(&b.name));
    Some(HostInterface {
        number: byte("bInterfaceNumber")?,
        class: byte("bInterfaceClass")?,
        driver,
        networks,
    })
}

/// A network interface whose flags cannot be read counts as up unless its state says that it is down: taking it
/// away would be the worse mistake.
fn is_up(folder: &Path) -> bool {
    let flags = text(&folder.join("flags"));
    match flags.and_then(|flags| u32::from_str_radix(flags.strip_prefix("0x")?, 16).ok()) {
        Some(flags) => flags & IFF_UP != 0,
        None => text(&folder.join("operstate")).as_deref() != Some("down"),
    }
}

fn text(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_end_matches(['\n', '\0']);
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this test's own, as Linux would fill it.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("airlift-sysfs-{}-{name}", std::process::id()));
            _ = fs::remove_dir_all(&root);
            fs::create_dir_all(&root).unwrap();
            Self(root)
        }

        fn file(&self, path: &str, text: &str) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn interface(&self, device: &str, name: &str, number: &str, class: &str) {
            self.file(&format!("{device}/{name}/bInterfaceNumber"), &format!("{number}\n"));
            self.file(&format!("{device}/{name}/bInterfaceClass"), &format!("{class}\n"));
        }

        fn sysfs(&self) -> Sysfs {
            Sysfs::at(&self.0)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            _ = fs::remove_dir_all(&self.0);
        }
    }

    #[cfg(unix)]
    #[test]
    fn an_interface_tells_its_driver_and_its_networks() {
        let tree = Tree::new("driver");
        tree.interface("1-4", "1-4:1.2", "02", "ff");
        tree.interface("1-4", "1-4:1.0", "00", "e0");
        tree.file("1-4/1-4:1.2/net/wlan1/flags", "0x1002\n");
        tree.file("1-4/1-4:1.2/net/wlan2/flags", "0x1003\n");
        std::os::unix::fs::symlink("../../drivers/rtw88_8821au", tree.0.join("1-4/1-4:1.2/driver")).unwrap();
        // Not interfaces of this device: another's, an attribute, a port.
        tree.interface("1-4", "1-40:1.0", "00", "ff");
        tree.interface("1-4", "power", "00", "ff");
        tree.interface("1-4", "1-4.1", "00", "ff");

        let network = |name: &str, up| Network { name: name.into(), up };
        assert_eq!(
            tree.sysfs().interfaces("1-4"),
            [
                HostInterface { number: 0, class: 0xe0, driver: None, networks: vec![] },
                HostInterface {
                    number: 2,
                    class: 0xff,
                    driver: Some("rtw88_8821au".into()),
                    networks: vec![network("wlan1", false), network("wlan2", true)],
                },
            ]
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_port_of_usb_2_tells_that_of_usb_3_beside_it() {
        let tree = Tree::new("peer");
        let link = |port: &str, peer: &str| {
            fs::create_dir_all(tree.0.join(port)).unwrap();
            std::os::unix::fs::symlink(peer, tree.0.join(port).join("peer")).unwrap();
        };
        link("usb3/3-0:1.0/usb3-port2", "../../../usb4/4-0:1.0/usb4-port1");
        link("1-4/1-4:1.0/1-4-port3", "../../../../usb2/2-1/2-1:1.0/2-1-port3");
        link("1-4.3/1-4.3:1.0/1-4.3-port1", "../2-1.3-port1");
        let peer = |location: &str| tree.sysfs().peer(location);
        assert_eq!(peer("3-2").as_deref(), Some("4-1"));
        assert_eq!(peer("1-4.3").as_deref(), Some("2-1.3"));
        assert_eq!(peer("1-4.3.1").as_deref(), Some("2-1.3.1"));
        for unknown in ["3-1", "nonsense", "", "1-@7"] {
            assert_eq!(peer(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_network_whose_flags_are_unknown_is_up_unless_its_state_is_down() {
        let tree = Tree::new("state");
        tree.file("a/operstate", "down\n");
        tree.file("b/operstate", "unknown\n");
        tree.file("c/flags", "what\n");
        let up: Vec<_> = ["a", "b", "c", "none"].map(|name| is_up(&tree.0.join(name))).to_vec();
        assert_eq!(up, [false, true, true, true]);
    }

    #[test]
    fn attributes_lose_their_line_end_and_strange_bytes_are_no_harm() {
        let tree = Tree::new("text");
        tree.file("3-2/serial", "00e04c000001\n");
        tree.file("3-2/empty", "\n");
        fs::write(tree.0.join("3-2/odd"), [0xff, b'x', b'\n']).unwrap();
        let sysfs = tree.sysfs();
        assert_eq!(sysfs.text("3-2", "serial").as_deref(), Some("00e04c000001"));
        assert_eq!(sysfs.text("3-2", "empty"), None);
        assert_eq!(sysfs.text("3-2", "odd").as_deref(), Some("\u{fffd}x"));
        assert_eq!(sysfs.text("3-3", "serial"), None);
        assert_eq!(sysfs.interfaces("3-3"), []);
    }

    #[test]
    fn an_interface_without_a_number_is_left_out() {
        let tree = Tree::new("odd");
        tree.interface("3-2", "3-2:1.0", "zz", "ff");
        tree.file("3-2/3-2:1.1/bInterfaceClass", "ff\n");
        assert_eq!(tree.sysfs().interfaces("3-2"), []);
    }
}
