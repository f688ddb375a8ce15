// What an appliance is made of, as lines of text in a section of an object that is never linked: NAME-report compiles
// it with the appliance's own configuration and reads it (tools/appliance_report.py). A line is a key and its values.
#include "boot/drivers.hpp"
#include "boot/memory_plan.hpp"

#include RINGLET_APPLIANCE

namespace ringlet::boot {

namespace {

/// Of the guest that is described, in bytes.
constexpr u64 kRam = RINGLET_DESCRIBED_RAM;

class Lines {
public:
    constexpr void line(std::string_view key) {
        if (size_ != 0) add("\n");
        add(key);
    }
    constexpr void word(std::string_view word) {
        add(" ");
        add(word);
    }
    constexpr void number(u64 n) {
        char digits[20];
        usize at = sizeof digits;
        do digits[--at] = static_cast<char>('0' + n % 10);
        while ((n /= 10) != 0);
        word({digits + at, sizeof digits - at});
    }

private:
    constexpr void add(std::string_view text) {
        for (const char c : text) text_[size_++] = c;
    }

    char text_[8192] = {};  ///< longer does not compile; the rest is NUL
    usize size_ = 0;
};

template <class Spec> constexpr void add_features(Lines& to, virtio::FeatureBits features) {
    for (unsigned bit = 0; bit < 64; ++bit) {
        if (!features.test(bit)) continue;
        std::string_view name;
        for (const virtio::FeatureName& n : virtio::kCommonNames)
            if (n.bit == bit) name = n.name;
        for (const virtio::FeatureName& n : Spec::kNames)
            if (n.bit == bit) name = n.name;
        if (name.empty())
            to.number(bit);
        else
            to.word(name);
    }
}

template <class Spec> constexpr void add_driver(Lines& to, virtio::Features<Spec> features) {
    to.line("driver");
    to.word(Spec::kName);
    to.line("required");
    add_features<Spec>(to, features.required.bits);
    to.line("optional");
    add_features<Spec>(to, features.optional.bits);
}

template <class... Driver> constexpr void add_drivers(Lines& to, const std::tuple<Driver...>*) {
    const auto add = [&]<class D>(const D*) {
        if constexpr (D::kNamed) add_driver(to, D::kFeatures);
    };
    (add(static_cast<const Driver*>(nullptr)), ...);
}

consteval Lines describe() {
    constexpr const ApplianceConfig& kC = kAppliance;
    Lines to;
    const auto part = [&](bool there, std::string_view name) {
        if (there) to.word(name);
    };
    to.line("name");
    to.word(kC.name);
    to.line("parts");
    part(kC.shell, "shell");
    part(kC.power_button, "power_button");
    part(kC.net, "TCP/IP");
    part(kC.net && kC.ipv6, "ipv6");
    part(kC.net && kC.dns, "dns");
    part(kC.net && kC.sntp, "sntp");
    part(kC.has_disks(), "filesystems");
    part(kC.kPackedRoot, "packed_root");
    to.line("buses");
    part(kC.pci, "pci");
    part(kC.pci_legacy, "pci_legacy");
    part(kC.mmio, "mmio");
    part(kC.mmio_legacy, "mmio_legacy");
    add_drivers(to, static_cast<const AllDrivers<kAppliance>*>(nullptr));
    const auto number = [&](std::string_view key, u64 n) {
        to.line(key);
        to.number(n);
    };
    number("ram", kRam);
    number("main_stack", kC.main_stack_bytes);
    if (kC.net) {
        number("packet_buffers", packet_buffers(kC, kRam));
        number("packet_buffer_bytes", net::PacketBuffer::kSize);
        number("connections", most_connections(kRam));
    }
    if (kC.has_disks()) number("cache", cache_bytes(kC.cache_bytes, kRam));
    return to;
}

[[gnu::section(".ringlet.description"), gnu::used]] constexpr Lines kDescription = describe();

}  // namespace

}  // namespace ringlet::boot
