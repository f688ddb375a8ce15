// A device behind one of the ways a driver can reach it: what every driver test starts from.
#pragma once

#include <memory>

#include "drivers/virtio/any_transport.hpp"
#include "tests/device/virtio_device.hpp"

namespace ringlet::device {

enum class Way { pci_vectors, pci_one_vector, pci_line, pci_polling, mmio };
inline constexpr Way kWays[] = {Way::pci_vectors, Way::pci_one_vector, Way::pci_line, Way::pci_polling, Way::mmio};

template <class D> struct Bench {
    D dev;
    FakeVectors vectors;
    std::unique_ptr<MmioFront> mmio;
    std::unique_ptr<PciFront> pci;

    template <class... A>
    explicit Bench(Way way, A... a)
        : dev(a...), vectors(way == Way::pci_vectors      ? 8
                             : way == Way::pci_one_vector ? 1
                                                          : 0),
          way_(way) {
        arch::host::reset_irqs();
        if (way == Way::mmio)
            mmio.reset(new MmioFront(dev));
        else
            pci.reset(new PciFront(dev));
        if (vectors.size() != 0) dev.send_message = [this](u16 v) { vectors.send(v); };
        dev.raise_line = [] { arch::host::raise(arch::IrqId{40}); };
    }
    virtio::Device device() {
        virtio::Wiring wiring;
        if (vectors.size() != 0) wiring.vectors.reset(new FakeVectorsHandle(vectors));
        if (way_ == Way::pci_line || way_ == Way::mmio) wiring.line = arch::IrqLine{.number = 40};
        if (mmio) return {virtio::Mmio::open(MmioFront::kBase, MmioFront::kBytes).value(), std::move(wiring)};
        return {virtio::PciModern(pci->regions()), std::move(wiring)};
    }

private:
    Way way_;
};

}  // namespace ringlet::device
