// Offsets and bits of PCI configuration space. PCI Local Bus 3.0 §6.1-§6.2 and §6.8.2 (MSI-X), PCI-to-PCI
// Bridge 1.2 §3.2, PCI Express Base §7.5. Constants only.
#pragma once

#include "lib/types.hpp"

namespace ringlet::pci::spec {

inline constexpr u16 kVendorId = 0x00, kDeviceId = 0x02, kCommand = 0x04, kStatus = 0x06, kRevision = 0x08;
inline constexpr u16 kHeaderType = 0x0e, kBar0 = 0x10, kSubsystemVendor = 0x2c, kSubsystemId = 0x2e;
inline constexpr u16 kCapabilityPointer = 0x34, kInterruptLine = 0x3c, kInterruptPin = 0x3d;

inline constexpr u16 kCommandIo = 1 << 0, kCommandMemory = 1 << 1, kCommandMaster = 1 << 2;
inline constexpr u16 kCommandIntxDisable = 1 << 10;
inline constexpr u16 kStatusCapabilities = 1 << 4;
inline constexpr u8 kHeaderMultiFunction = 0x80, kHeaderTypeMask = 0x7f, kHeaderDevice = 0, kHeaderBridge = 1;

// Type 1 header.
inline constexpr u16 kPrimaryBus = 0x18, kSecondaryBus = 0x19, kSubordinateBus = 0x1a;
inline constexpr u16 kIoBase = 0x1c, kIoLimit = 0x1d, kMemoryBase = 0x20, kMemoryLimit = 0x22;
inline constexpr u16 kPrefetchBase = 0x24, kPrefetchLimit = 0x26, kPrefetchBaseUpper = 0x28, kPrefetchLimitUpper = 0x2c;
inline constexpr u16 kIoBaseUpper = 0x30, kIoLimitUpper = 0x32;

inline constexpr u8 kCapVendor = 0x09, kCapPciExpress = 0x10, kCapMsix = 0x11;

inline constexpr u16 kMsixControl = 2, kMsixTable = 4, kMsixPba = 8;  // from the capability
inline constexpr u16 kMsixSizeMask = 0x7ff, kMsixFunctionMask = 1 << 14, kMsixEnable = 1 << 15;
inline constexpr u32 kMsixEntryBytes = 16, kMsixEntryMasked = 1;

inline constexpr u32 kClassHostBridge = 0x0600, kClassPciBridge = 0x0604;

}  // namespace ringlet::pci::spec
