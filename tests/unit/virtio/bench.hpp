// A device behind one of the ways a driver can reach it: what every driver test starts from.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>

#include "drivers/virtio/any_transport.hpp"
#include "tests/device/fake_vectors.hpp"
#include "tests/device/mmio_front.hpp"
#include "tests/device/pci_front.hpp"
#include "tests/device/pci_legacy_front.hpp"

namespace ringlet::device {

enum class Way {
    pci_vectors,
    pci_one_vector,
    pci_line,
    pci_polling,
    mmio,
    // Before 1.0: for drivers whose configuration makes VERSION_1 optional.
    legacy_vectors,
    legacy_one_vector,
    legacy_line,
    legacy_memory,  ///< the I/O BAR as memory, as on aarch64; a line
    mmio_v1,
};
inline constexpr Way kModernWays[] = {Way::pci_vectors, Way::pci_one_vector, Way::pci_line, Way::pci_polling,
                                      Way::mmio};
inline constexpr Way kLegacyWays[] = {Way::legacy_vectors, Way::legacy_one_vector, Way::legacy_line, Way::legacy_memory,
                                      Way::mmio_v1};
inline constexpr Way kAllWays[] = {Way::pci_vectors,   Way::pci_one_vector, Way::pci_line,          Way::pci_polling,
                                   Way::mmio,          Way::legacy_vectors, Way::legacy_one_vector, Way::legacy_line,
                                   Way::legacy_memory, Way::mmio_v1};
inline constexpr auto& kWays = kAllWays;

/// The kinds of ring that the devices of this run offer: RINGLET_RINGS=packed,in_order,no_event_idx,no_indirect (any
/// of them); `platform`: devices behind an IOMMU and not coherent, which want to be told positions and refuse drivers
/// that do not care. One program, run once per kind: every test of a driver is a test over every ring.
inline void offer_rings(VirtioDevice& dev) {
    using virtio::Common;
    FeatureBits& offered = dev.offered;
    const char* told = std::getenv("RINGLET_RINGS");
    const std::string rings = told == nullptr ? "" : told;
    const auto says = [&](const char* word) { return ("," + rings + ",").find(word) != std::string::npos; };
    if (says(",packed,")) offered = offered | virtio::mask(Common::ring_packed);
    if (says(",in_order,")) offered = offered | virtio::mask(Common::in_order);
    if (says(",platform,")) {
        dev.demanded = virtio::mask(Common::access_platform, Common::order_platform, Common::notification_data);
        offered = offered | dev.demanded | virtio::mask(Common::notif_config_data);
    }
    if (says(",no_event_idx,")) offered = offered.without(virtio::mask(Common::event_idx));
    if (says(",no_indirect,")) offered = offered.without(virtio::mask(Common::indirect_desc));
}

/// A driver's configuration that takes every ring and platform: what the tests of drivers use.
template <class C> consteval C every_ring(C config = {}) {
    using virtio::Common;
    FeatureBits more = virtio::mask(Common::ring_packed, Common::in_order, Common::event_idx, Common::indirect_desc,
                                    Common::access_platform, Common::order_platform, Common::notification_data,
                                    Common::notif_config_data);
    config.features.optional.bits = config.features.optional.bits | more.without(config.features.required.bits);
    return config;
}

template <class D> struct Bench {
    D dev;
    FakeVectors vectors;
    std::unique_ptr<MmioFront> mmio;
    std::unique_ptr<MmioLegacyFront> mmio_v1;
    std::unique_ptr<PciFront> pci;
    std::unique_ptr<PciLegacyFront> legacy;

    template <class... A> explicit Bench(Way way, A... a) : dev(a...), vectors(vectors_of(way)), way_(way) {
        using Kind = pci::IoWindow::Kind;
        arch::host::reset_irqs();
        offer_rings(dev);
        if (way == Way::mmio)
            mmio.reset(new MmioFront(dev));
        else if (way == Way::mmio_v1)
            mmio_v1.reset(new MmioLegacyFront(dev));
        else if (way >= Way::legacy_vectors)
            legacy.reset(new PciLegacyFront(dev, way == Way::legacy_memory ? Kind::memory : Kind::ports));
        else
            pci.reset(new PciFront(dev));
        if (legacy) legacy->messages = [this] { return vectors.enabled; };
        if (vectors.size() != 0) dev.send_message = [this](u16 v) { vectors.send(v); };
        dev.raise_line = [] { arch::host::raise(arch::IrqId{40}); };
    }
    virtio::Device device() {
        virtio::Wiring wiring;
        if (vectors.size() != 0) wiring.vectors.reset(new FakeVectorsHandle(vectors));
        if (vectors.size() == 0 && way_ != Way::pci_polling) wiring.line = arch::IrqLine{.number = 40};
        if (mmio) return {virtio::Mmio::open(MmioFront::kBase, MmioFront::kBytes).value(), std::move(wiring)};
        if (mmio_v1)
            return {virtio::MmioLegacy::open(MmioLegacyFront::kBase, MmioLegacyFront::kBytes).value(),
                    std::move(wiring)};
        if (legacy) return {legacy->transport(), std::move(wiring)};
        return {virtio::PciModern(pci->regions()), std::move(wiring)};
    }

private:
    static u16 vectors_of(Way way) {
        if (way == Way::pci_vectors || way == Way::legacy_vectors) return 8;
        return way == Way::pci_one_vector || way == Way::legacy_one_vector ? 1 : 0;
    }
    Way way_;
};

}  // namespace ringlet::device
