// The image as a UEFI application (UEFI 2.10; §2.3.6 for the state of the machine): finds out what the normal entry
// cannot know, copies the image to where it is linked, ends the firmware's services and goes there (entry.S).
//
// This runs wherever the firmware has loaded it. All addresses in the code are relative to it, as the compiler makes
// them for this architecture; a constant that holds an address (a table of strings) would be wrong, and there is none.
// Context: the firmware's boot CPU, its stack, its identity map.
#include <algorithm>
#include <cstring>

#include "boot/aarch64/efi.hpp"

extern "C" {
extern char __image_start[], __image_end[], __data_end[];
/// In entry.S: the address of __image_start as the linker knows it.
extern const ringlet::u64 ringlet_link_address;
[[noreturn]] void ringlet_efi_leave(ringlet::boot::EfiFindings* findings);
ringlet::u64 ringlet_efi_main(void* handle, void* system_table);
}

namespace ringlet::boot {
namespace {

using Status = u64;
constexpr Status kSuccess = 0, kLoadError = u64{1} << 63 | 1;

struct Guid {
    u32 a;
    u16 b, c;
    u8 d[8];
    bool operator==(const Guid&) const = default;
};
constexpr Guid kLoadedImage{0x5b1b31a1, 0x9562, 0x11d2, {0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
constexpr Guid kFileSystem{0x964e5b22, 0x6459, 0x11d2, {0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
constexpr Guid kDevicetree{0xb1b621d5, 0xf19c, 0x41a5, {0x83, 0x0b, 0xd9, 0x15, 0x2c, 0x69, 0xaa, 0xe0}};
constexpr Guid kAcpi20{0x8868e871, 0xe4f1, 0x11d3, {0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81}};

// Of each table, the members that are used, with the others as gaps of so many pointers.

struct TextOutput {  // §12.4
    void* reset;
    Status (*output_string)(TextOutput*, const char16_t*);
};
struct BootServices {  // §4.4
    u64 header[3];
    void* gap1[2];
    Status (*allocate_pages)(u32 how, u32 type, u64 pages, u64* address);
    void* gap2;
    Status (*get_memory_map)(u64* bytes, void* map, u64* key, u64* descriptor_bytes, u32* version);
    void* gap3[11];
    Status (*handle_protocol)(void* handle, const Guid*, void** interface);
    void* gap4[9];
    Status (*exit_boot_services)(void* handle, u64 key);
};
static_assert(offsetof(BootServices, get_memory_map) == 56 && offsetof(BootServices, handle_protocol) == 152 &&
              offsetof(BootServices, exit_boot_services) == 232);
struct RuntimeServices {  // §4.5
    u64 header[3];
    Status (*get_time)(EfiTime*, void* capabilities);
};
struct ConfigurationTable {  // §4.6
    Guid guid;
    u64 address;
};
struct SystemTable {  // §4.3
    u64 header[3];
    void* gap1[5];
    TextOutput* output;
    void* gap2[2];
    RuntimeServices* runtime;
    BootServices* boot;
    u64 tables;
    const ConfigurationTable* table;
};
static_assert(offsetof(SystemTable, output) == 64 && offsetof(SystemTable, boot) == 96);
struct LoadedImage {  // §9.1
    u64 revision;
    void* parent;
    SystemTable* system;
    void* device;
    void* gap[2];
    u32 options_bytes;
    const char16_t* options;
};
static_assert(offsetof(LoadedImage, options_bytes) == 48);
struct File {  // §13.5
    u64 revision;
    Status (*open)(File*, File**, const char16_t* name, u64 mode, u64 attributes);
    void* gap[2];
    Status (*read)(File*, u64* bytes, void* to);
};
struct FileSystem {  // §13.4
    u64 revision;
    Status (*open_volume)(FileSystem*, File**);
};

constexpr u32 kAnyPages = 0, kAtAddress = 2, kLoaderCode = 1, kLoaderData = 2;
constexpr u64 kPage = 4096, kFindingsPages = 16;
constexpr char16_t kCommandLineFile[] = u"\\EFI\\BOOT\\RINGLET.TXT";

class Efi {
public:
    Efi(void* handle, SystemTable& system) : handle_(handle), system_(system), boot_(*system.boot) {}

    /// Comes back only when it cannot be done.
    Status run() {
        u64 at = 0;
        if (boot_.allocate_pages(kAnyPages, kLoaderData, kFindingsPages, &at) != kSuccess)
            return give_up("out of memory");
        findings_ = new (reinterpret_cast<void*>(at)) EfiFindings{};
        findings_->bytes = kFindingsPages * kPage;
        find_command_line();
        if (EfiTime time; system_.runtime->get_time(&time, nullptr) == kSuccess)
            findings_->unix_seconds = unix_seconds_from_efi(time);
        for (u64 i = 0; i < system_.tables; ++i) {
            const ConfigurationTable& table = system_.table[i];
            if (table.guid == kDevicetree) findings_->devicetree = table.address;
            if (table.guid == kAcpi20) findings_->rsdp = table.address;
        }
        at = ringlet_link_address;
        const u64 pages = static_cast<u64>(__image_end - __image_start) / kPage;
        if (boot_.allocate_pages(kAtAddress, kLoaderCode, pages, &at) != kSuccess)
            return give_up("the memory where this image runs is in use, or there is none");
        std::memcpy(reinterpret_cast<void*>(at), __image_start, static_cast<usize>(__data_end - __image_start));
        if (!end_boot_services()) return give_up("the firmware does not give up its services");
        ringlet_efi_leave(findings_);
    }

private:
    void say(std::string_view text) {
        if (system_.output == nullptr) return;
        for (const char c : text) {
            const char16_t character[] = {static_cast<char16_t>(c), 0};
            system_.output->output_string(system_.output, character);
        }
    }

    Status give_up(std::string_view why) {
        say("ringlet: ");
        say(why);
        say("\r\n");
        return kLoadError;
    }

    /// The options that this was started with, or else the file beside it. Nothing outside of ASCII is meant for us.
    void find_command_line() {
        LoadedImage* image = nullptr;
        if (boot_.handle_protocol(handle_, &kLoadedImage, reinterpret_cast<void**>(&image)) != kSuccess) return;
        const usize most = image->options != nullptr ? image->options_bytes / sizeof(char16_t) : 0;
        for (usize i = 0; i < most && image->options[i] != 0; ++i)
            if (!put(image->options[i])) {
                findings_->command_line_bytes = 0;
                break;
            }
        if (findings_->command_line_bytes == 0) read_command_line(image->device);
    }

    void read_command_line(void* device) {
        FileSystem* volume = nullptr;
        File *root = nullptr, *file = nullptr;
        if (boot_.handle_protocol(device, &kFileSystem, reinterpret_cast<void**>(&volume)) != kSuccess ||
            volume->open_volume(volume, &root) != kSuccess ||
            root->open(root, &file, kCommandLineFile, 1, 0) != kSuccess)
            return;
        char text[sizeof findings_->command_line];
        u64 bytes = sizeof text;
        if (file->read(file, &bytes, text) != kSuccess) return;
        for (u64 i = 0; i < std::min<u64>(bytes, sizeof text); ++i)
            (void)put(text[i] == '\n' || text[i] == '\r' || text[i] == '\t' ? u' ' : static_cast<u8>(text[i]));
    }

    bool put(char16_t c) {
        if (c < 0x20 || c > 0x7e || findings_->command_line_bytes == sizeof findings_->command_line) return false;
        findings_->command_line[findings_->command_line_bytes++] = static_cast<char>(c);
        return true;
    }

    /// The map changes as long as anything runs: the key of an old one is refused (§7.4.6).
    bool end_boot_services() {
        for (int tries = 0; tries < 8; ++tries) {
            u64 key = 0;
            u32 version = 0;
            findings_->map_bytes = findings_->bytes - sizeof *findings_;
            if (boot_.get_memory_map(&findings_->map_bytes, findings_ + 1, &key, &findings_->descriptor_bytes,
                                     &version) != kSuccess)
                return false;
            if (boot_.exit_boot_services(handle_, key) == kSuccess) return true;
        }
        return false;
    }

    void* handle_;
    SystemTable& system_;
    BootServices& boot_;
    EfiFindings* findings_ = nullptr;
};

}  // namespace
}  // namespace ringlet::boot

ringlet::u64 ringlet_efi_main(void* handle, void* system_table) {
    using namespace ringlet::boot;
    return Efi(handle, *static_cast<SystemTable*>(system_table)).run();
}
