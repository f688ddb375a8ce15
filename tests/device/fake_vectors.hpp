// The MSI-X table of a modelled device. Host tests only.
#pragma once

#include <utility>
#include <vector>

#include "arch/host.hpp"
#include "drivers/virtio/interrupts.hpp"

namespace ringlet::device {

/// A device's MSI-X table. A message sent while its vector is masked is remembered, as the pending bit does.
class FakeVectors final : public virtio::VectorTable {
public:
    struct Vector {
        bool open = false, masked = true, pending = false;
        arch::IrqId id{};
        arch::MsiMessage message;
    };
    std::vector<Vector> vectors;
    bool enabled = false, stuck = false;

    explicit FakeVectors(u16 n) : vectors(n) {}
    u16 size() const override { return u16(vectors.size()); }
    Result<arch::IrqId> open(u16 i) override {
        Vector& v = vectors.at(i);
        v.id = TRY(arch::allocate_msi(0, v.message));
        v.open = v.masked = true;
        return v.id;
    }
    void close(u16 i) override {
        arch::free_msi(vectors.at(i).id);
        vectors.at(i) = {};
    }
    void mask(u16 i) override { vectors.at(i).masked = true; }
    void unmask(u16 i) override {
        vectors.at(i).masked = false;
        if (std::exchange(vectors.at(i).pending, false)) arch::host::deliver(vectors.at(i).message);
    }
    bool enable() override { return enabled = !stuck; }
    void disable() override { enabled = false; }
    /// What the device does.
    void send(u16 i) {
        if (!enabled || i >= vectors.size() || !vectors[i].open) return;
        if (vectors[i].masked)
            vectors[i].pending = true;
        else
            arch::host::deliver(vectors[i].message);
    }
};

/// What a driver owns of it.
class FakeVectorsHandle final : public virtio::VectorTable {
public:
    explicit FakeVectorsHandle(FakeVectors& to) : to_(to) {}
    u16 size() const override { return to_.size(); }
    Result<arch::IrqId> open(u16 i) override { return to_.open(i); }
    void close(u16 i) override { to_.close(i); }
    void mask(u16 i) override { to_.mask(i); }
    void unmask(u16 i) override { to_.unmask(i); }
    bool enable() override { return to_.enable(); }
    void disable() override { to_.disable(); }

private:
    FakeVectors& to_;
};

}  // namespace ringlet::device
