// The kernel command line: words `key` or `key=value`, then ` -- ` and the application's arguments. A value,
// or a whole word, may be put in double quotes to hold spaces. Everything is a view into the line; nothing is
// allocated. Context: any; the line must outlive the views.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "arch/platform.hpp"
#include "kernel/log.hpp"
#include "kernel/panic.hpp"
#include "lib/format.hpp"
#include "net/config.hpp"

namespace ringlet::boot {

class CommandLine {
public:
    /// What lies beyond is ignored, in words and in bytes.
    static constexpr usize kMaxBytes = 4096, kMaxWords = 256;

    explicit CommandLine(std::string_view line);

    /// Visits each word before `--` in order until `visit` returns false. A word without `=` has no value.
    void for_each(FunctionRef<bool(std::string_view key, std::optional<std::string_view> value)> visit) const;
    /// The value of the last `key=…`; nothing when absent or without a value.
    std::optional<std::string_view> value(std::string_view key) const;
    /// Is there a word `key` or `key=…`?
    bool has(std::string_view key) const;
    /// Everything after `--`, untouched.
    std::string_view application() const { return application_; }

private:
    std::string_view kernel_, application_;
};

/// Splits `text` into arguments for main(): separated by blanks, double or single quotes hold blanks, a
/// backslash takes the next character literally (not within single quotes). Copies into `storage`; argv[0] is
/// `name`; argv ends with nullptr. Returns argc; Error::too_large when storage or argv are too small.
Result<int> split_arguments(std::string_view name, std::string_view text, std::span<char> storage,
                            std::span<char*> argv);

/// `ip=10.0.2.15/24[,GATEWAY[,DNS]]`, `ip=dhcp`, `ip=off`; the gateway may be omitted: `ip=10.0.2.15/24`.
/// `ip=dhcp,10.0.2.15/24[,GATEWAY[,DNS]]`: mode dhcp with an address to fall back to when no server answers.
struct IpOption {
    enum class Mode : u8 { dhcp, fixed, off } mode = Mode::dhcp;
    net::Ipv4Addr address, gateway, dns;
    u8 prefix = 0;
};

/// `ip6=auto` (default), `ip6=off`, or `ip6=2001:db8::5/64[,GATEWAY[,DNS]]`: an address besides the automatic ones.
struct Ip6Option {
    bool off = false;
    net::IpAddr address, gateway, dns;
    u8 prefix = 64;
};

/// `mount=vdb1,/data[,ro]`
struct MountOption {
    std::string_view device, where;
    bool read_only = false;
};

struct Options {
    std::optional<kernel::PanicAction> panic;  ///< panic=halt|reboot|exit
    /// Of each interface: `net1.ip=` is the second one's, `ip=` without a name the first one's; so `ip6=`, `route=`.
    std::array<std::optional<IpOption>, net::kMostInterfaces> ip;
    std::array<std::optional<Ip6Option>, net::kMostInterfaces> ip6;
    std::optional<kernel::LogLevel> log_level;  ///< loglevel=debug|info|warning|error, or Linux's 0..8
    std::string_view root;                      ///< root=vda1
    bool root_read_only = false;                ///< ro
    FixedVector<MountOption, 8> mounts;         ///< mount=DEVICE,PATH[,ro], often; in their order
    /// dns=ADDRESS[,ADDRESS...] and ntp=… instead of what DHCP tells; search=DOMAIN[,DOMAIN...];
    /// hosts=NAME=ADDRESS[,NAME=ADDRESS...]. What is beyond their bounds is complained about.
    FixedVector<net::IpAddr, net::NetworkHints::kServers> dns, ntp;
    std::string_view search;
    FixedVector<net::HostEntry, 16> hosts;
    FixedVector<net::RouteInfo, net::StackConfig::kRoutes>
        routes;                ///< [netN.]route=NETWORK/PREFIX,ROUTER[,METRIC], often
    std::string_view console;  ///< console=ttyS0|ttyAMA0|none
    bool probe = true;         ///< probe=off: addresses are used without asking whether somebody has them
    bool page_poison = false;  ///< page_poison=1: kernel/mm/page_poison.hpp
};

/// Reads the typed options. What has a bad value keeps its default and is complained about in one clear
/// sentence each; all unknown keys together in one. `hw.*` (tunables, read by whom they concern),
/// `virtio_mmio.device` and a Linux loader's own words are let through.
Options read_options(const CommandLine& line, TextSink complain);

/// `virtio_mmio.device=512@0xfeb00e00:12[:id]`, as QEMU's microvm adds: appended to out.virtio_mmio.
void virtio_mmio_from_command_line(const CommandLine& line, arch::Platform& out, TextSink complain);

}  // namespace ringlet::boot
