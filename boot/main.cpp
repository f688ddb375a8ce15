// The composition root: the one file that names everything. Read top to bottom, it is the order in which an image comes
// to life: log, memory, machine, interrupts, time, threads; then devices, disks, network, shell; then main().
// Compiled once for each appliance, whose constexpr configuration decides what of this exists.
#include <algorithm>
#include <array>
#include <new>

#include <ringlet/application.hpp>
#include <ringlet/config.hpp>
#include <ringlet/file.hpp>
#include <ringlet/network.hpp>
#include <ringlet/system.hpp>
#include <ringlet/time.hpp>

#include "arch/clock.hpp"
#include "arch/cpu.hpp"
#include "arch/irq.hpp"
#include "arch/paging.hpp"
#include "arch/power.hpp"
#include "boot/boot_info.hpp"
#include "boot/cmdline.hpp"
#include "boot/devices.hpp"
#include "boot/discover.hpp"
#include "boot/memory_plan.hpp"
#include "boot/packed_root.hpp"
#include "boot/power_button.hpp"
#include "boot/reports.hpp"
#include "boot/serial_console.hpp"
#include "boot/storage.hpp"
#include "kernel/console.hpp"
#include "kernel/mm/page_poison.hpp"
#include "lib/parse.hpp"
#include "shell/shell.hpp"

#include RINGLET_APPLIANCE

namespace ringlet::boot {

namespace {

using kernel::log;
using kernel::LogLevel;
using kernel::panic;

constexpr auto complain = [](std::string_view sentence) { kernel::log_write(LogLevel::warning, sentence); };

/// For steps without which nothing works.
void require(Result<> step, std::string_view what) {
    if (step) return;
    char text[96];
    panic(format_to(text, "cannot start: {}: {}", what, step.error()));
}

void start_memory(const BootInfo& info, const Options& options) {
    require(kernel::page_allocator_init(info.ram, info.reserved, kEarlyMapLimit), "page allocator");
    require(arch::paging_init(info.ram), "page tables");
    if (options.page_poison) kernel::poison::start();
}

/// ACPI or devicetree, then everything that interrupts and time need.
arch::Platform& start_machine(const BootInfo& info, const CommandLine& command_line) {
    auto* allocated = new (std::nothrow) arch::Platform;  // for ever
    if (allocated == nullptr) panic("out of memory for the description of the machine");
    arch::Platform& platform = *allocated;
    discover(info, command_line, platform);
    arch::power_init(platform);
    if (const auto serial = start_console_output(platform.serial); !serial)
        log(LogLevel::debug, "no serial device: {}; the early console stays", serial.error());
    require(arch::irq_init(platform), "interrupt controller");
    require(arch::clock_init(platform), "clock");
    kernel::random_init();
    require(kernel::scheduler_init(), "scheduler");
    return platform;
}

void listen_to_serial(const arch::Platform& platform) {
    if (const auto input = start_console_input(platform.serial); !input)
        log(LogLevel::warning, "the console cannot be read: {}", input.error());
}

/// Then the serial device is not read: one console is.
bool wants_virtio_console(const Options& options) {
    return kAppliance.console && options.console.starts_with("hvc");
}

/// The console is a virtio port if there is one; then the log so far goes there too.
void settle_console(const arch::Platform& platform, bool taken, const Options& options) {
    if (taken) return kernel::log_set_console(kernel::console_write, options.log_level.value_or(LogLevel::info));
    log(LogLevel::warning, "no {}: the serial device stays the console", options.console);
    listen_to_serial(platform);
}

/// What the command line says about interface `number`.
net::InterfaceConfig interface_config(const Options& options, usize number) {
    net::InterfaceConfig config;
    if (options.ip[number]) {
        using Mode = IpOption::Mode;
        const IpOption& ip = *options.ip[number];
        const bool fixed = !ip.address.is_unspecified();
        config.addressing = ip.mode == Mode::off     ? net::Addressing::none
                            : ip.mode == Mode::fixed ? net::Addressing::fixed
                            : fixed                  ? net::Addressing::dhcp_then_fixed
                                                     : net::Addressing::dhcp;
        config.fixed = {.address = ip.address, .prefix = ip.prefix, .gateway = ip.gateway, .dns = {ip.dns}};
    }
    if constexpr (kAppliance.ipv6) {
        const Ip6Option ip6 = options.ip6[number].value_or(Ip6Option{});
        if (!ip6.off) config.ipv6 = net::make_ipv6;
        config.fixed6 = {.address = ip6.address, .prefix = ip6.prefix, .gateway = ip6.gateway, .dns = {ip6.dns}};
    }
    return config;
}

net::StackConfig stack_config(const Options& options, u64 ram_bytes) {
    net::StackConfig config;
    static_cast<net::InterfaceConfig&>(config) = interface_config(options, 0);
    config.names = {.dns = options.dns, .ntp = options.ntp, .search = options.search, .hosts = options.hosts};
    config.routes = options.routes;
    if (!options.probe) config.probe_interval = {};
    config.hostname = kAppliance.name;
    kernel::random_fill(std::as_writable_bytes(std::span(config.secret)));
    config.tcp.max_connections = most_connections(ram_bytes);
    return config;
}

net::PacketPool* make_packet_pool(u64 ram_bytes) {
    const u32 count = packet_buffers(kAppliance, ram_bytes);
    auto region = kernel::DmaRegion::allocate(usize{count} * net::PacketBuffer::kSize);
    if (!region) return nullptr;
    auto* memory = new (std::nothrow) kernel::DmaRegion(std::move(*region));  // for ever, as the pool
    return memory != nullptr ? new (std::nothrow) net::PacketPool(memory->bytes(), memory->addr()) : nullptr;
}

/// The NICs that were found, or none: then the stack still reaches itself.
template <class Nic>
void start_network(std::span<Nic* const> nics, net::PacketPool* pool, const Options& options, u64 ram_bytes) {
    if (pool == nullptr) return log(LogLevel::error, "no network: out of memory");
    net::StackConfig config = stack_config(options, ram_bytes);
    static constinit net::NullLink nothing;
    Result<> opened;
    if (!nics.empty()) {
        std::array<net::InterfaceConfig, net::kMostInterfaces - 1> more;
        for (usize i = 1; i < nics.size(); ++i) more[i - 1] = interface_config(options, i);
        opened = network().open(nics, *pool, config, std::span(more).first(nics.size() - 1));
    } else {
        log(LogLevel::warning, "no network interface: only this machine can be reached");
        config.addressing = net::Addressing::none;
        opened = network().open(nothing, *pool, config);
    }
    if (opened) opened = network().start();
    if (!opened) return log(LogLevel::error, "no network: {}", opened.error());
    if constexpr (kAppliance.sntp)
        if (const auto started = time_sync().start(); !started) log(LogLevel::error, "no SNTP: {}", started.error());
}

/// The commands of what is in the image, by name. For ever.
std::span<const shell::Command> shell_commands() {
    static constinit std::array<shell::Command, 24> all{};
    usize count = 0;
    const auto add = [&count](std::span<const shell::Command> table) {
        for (const shell::Command& c : table) {
            if (count == all.size()) panic("more shell commands than there is room for");
            usize i = count++;
            for (; i > 0 && c.name < all[i - 1].name; --i) all[i] = all[i - 1];
            all[i] = c;
        }
    };
    if constexpr (kAppliance.net) {
        add(shell::network_commands());
        if constexpr (kAppliance.dns) add(shell::name_commands());
        if constexpr (kAppliance.sntp) add(shell::time_commands());
    }
    return std::span(all).first(count);
}

void start_shell() {
    if constexpr (kAppliance.shell) {
        (void)kernel::console_claim_input();  // what is typed is the shell's, not the application's
        auto thread = kernel::ThreadHandle::spawn({.name = "shell", .priority = 18, .stack_bytes = 49152}, [] {
            auto* shell = new (std::nothrow) shell::Shell(shell_commands());
            if (shell == nullptr) return log(LogLevel::error, "no shell: out of memory");
            shell->run();
        });
        if (thread)
            thread->detach();
        else
            log(LogLevel::error, "no shell: {}", thread.error());
    }
}

/// The words env.NAME=value as NAME=value, and a nullptr. For ever.
char** environment_of(const CommandLine& command_line) {
    static constexpr usize kMost = 32;
    static constinit char* environment[kMost + 1] = {};
    usize count = 0;
    command_line.for_each([&](std::string_view key, std::optional<std::string_view> value) {
        if (!key.starts_with("env.")) return true;
        if (count == kMost) {
            log(LogLevel::warning, "more than {} words env.NAME=value: the rest is left out", kMost);
            return false;
        }
        const std::string_view name = substring(key, 4), text = value.value_or("");
        char* entry = new (std::nothrow) char[name.size() + text.size() + 2];
        if (entry == nullptr) panic("out of memory for the environment of main()");
        environment[count++] = entry;
        entry = std::copy(name.begin(), name.end(), entry);
        *entry++ = '=';
        *std::copy(text.begin(), text.end(), entry) = '\0';
        return true;
    });
    return environment;
}

/// argv[0] is the appliance's name; the rest are the words after `--`.
int run_application(const CommandLine& command_line) {
    const std::string_view words = command_line.application();
    static constexpr usize kMaxArguments = 64;
    static constinit char* argv[kMaxArguments + 2] = {};
    const usize bytes = words.size() + kAppliance.name.size() + 2;
    char* storage = new (std::nothrow) char[bytes];  // for ever
    if (storage == nullptr) panic("out of memory for the arguments of main()");
    const auto argc = split_arguments(kAppliance.name, words, {storage, bytes}, argv);
    if (!argc) panic("more arguments after -- than main() can be given");
    return start_application(*argc, argv, environment_of(command_line), kAppliance.main_stack_bytes);
}

/// What there is nothing to say about is not in the image either.
template <const ApplianceConfig& kC> consteval auto reports_of() {
    constexpr usize kCount = 1 + kC.has_disks() + (kC.has_disks() && kC.shell) + kC.pci + kC.has_drivers();
    std::array<Report, kCount> all;
    usize n = 0;
    if constexpr (kC.has_disks()) all[n++] = {"disks", "disks", "block devices", report_disks};
    if constexpr (kC.has_disks() && kC.shell)
        all[n++] = {"fsck", "fsck [DISK]", "whether the ext4 filesystem of a disk, or at /, is consistent",
                    report_fsck};
    all[n++] = {"irq", "irq", "interrupts and their handlers", report_irqs};
    if constexpr (kC.pci) all[n++] = {"lspci", "lspci", "PCI functions", report_pci};
    if constexpr (kC.has_drivers())
        all[n++] = {"virtio", "virtio [DEVICE [features]]", "virtio devices, their queues and counters", report_virtio};
    return all;
}
template <const ApplianceConfig& kC> constexpr auto kReports = reports_of<kC>();

void start_devices(const arch::Platform& platform, const CommandLine& command_line, const Options& options) {
    const u64 ram_bytes = page_stats().total_pages * kPageSize;
    static constinit Devices<kAppliance> found;
    if constexpr (ApplianceConfig::kPackedRoot) add_packed_root();
    net::PacketPool* pool = kAppliance.net ? make_packet_pool(ram_bytes) : nullptr;
    Surroundings around{.packets = pool, .command_line = command_line, .console = options.console};
    found.find(platform, around);
    if (wants_virtio_console(options)) settle_console(platform, around.console_taken, options);
    if constexpr (kAppliance.has_disks())
        mount_disks({.root = options.root,
                     .root_read_only = options.root_read_only,
                     .mounts = options.mounts,
                     .cache_bytes = kAppliance.cache_bytes,
                     .ram_bytes = ram_bytes});
    if constexpr (kAppliance.net) start_network(found.nics().found(), pool, options, ram_bytes);
}

/// Both clocks at once.
struct Moment {
    u64 cycles = arch::cycle_counter();
    Instant time = now();
};

/// How many of the cycles since then nothing ran (the scheduler counts in nanoseconds). bench/boot.py subtracts them.
u64 idle_cycles_since(const Moment& then) {
    const Moment at;
    const u64 microseconds = (at.time.ns - then.time.ns) / 1000;
    return microseconds == 0 ? 0 : idle_time_ns() / 1000 * (at.cycles - then.cycles) / microseconds;
}

[[noreturn]] void run(BootInfo& info) {
    start_early_console();
    log(LogLevel::info, "Ringlet {} on {}", kVersion, arch::kName);
    const CommandLine command_line(info.command_line);
    const Options options = read_options(command_line, complain);
    kernel::log_set_console(kernel::console_write, options.log_level.value_or(LogLevel::info));
    kernel::set_panic_action(options.panic.value_or(kernel::PanicAction::halt));
    start_memory(info, options);
    const arch::Platform& platform = start_machine(info, command_line);
    if (!wants_virtio_console(options)) listen_to_serial(platform);
    const Moment threads_run;
    set_reports(kReports<kAppliance>);
    start_devices(platform, command_line, options);
    if constexpr (kAppliance.power_button) start_power_button(platform);
    start_shell();
    log(LogLevel::debug, "{}: main() {} cycles after entry, {} idle", kAppliance.name,
        arch::cycle_counter() - info.entry_cycles, idle_cycles_since(threads_run));
    end_application(run_application(command_line));
}

}  // namespace

}  // namespace ringlet::boot

void ringlet::end_application(int status) {
    using namespace kernel;
    if (kAppliance.shell) {
        log(LogLevel::info, "{}: main() returned {}; the shell stays", kAppliance.name, status);
        for (;;) sleep_for(Duration::from_s(3600));
    }
    if (status == 0) poweroff();
    log(LogLevel::error, "{}: main() returned {}", kAppliance.name, status);
    end_vm(static_cast<u8>(status));
}

void boot_main(ringlet::boot::BootInfo& info) {
    ringlet::boot::run(info);
}
