// callers() on x86_64, where what is built for speed has no frames (cmake/flags.cmake): every word of the stack is
// looked at. Code leaves rbp alone or pushes it, so the frames that there are make a chain across those that there are
// not.
#include "arch/callers.hpp"

#include "arch/x86_64/image.hpp"
#include "arch/x86_64/page_tables.hpp"

namespace ringlet::arch {

namespace {

constexpr usize kWord = sizeof(std::uintptr_t), kPage = 4096;
constexpr usize kMostWords = 8192;  ///< looked at: bounds how long a panic takes
constexpr usize kLongestCall = 7;   ///< bytes of FF /2 with a SIB byte and 32 bits of displacement
constexpr std::uintptr_t kUnknown = 0;

bool in_text(std::uintptr_t address) {
    return address >= x86::at(__text_start) && address < x86::at(__text_end);
}

/// How long CALL r/m64 with these bytes after FF is (SDM vol. 2 §2.1.5, CALL: FF /2); 0: it is none.
usize indirect_call_bytes(u8 modrm, u8 sib) {
    if ((modrm >> 3 & 7) != 2) return 0;
    const unsigned mod = modrm >> 6, rm = modrm & 7;
    if (mod == 3) return 2;
    const bool has_sib = rm == 4;
    const bool wide = mod == 2 || (mod == 0 && (rm == 5 || (has_sib && (sib & 7) == 5)));
    return 2u + has_sib + (wide ? 4 : mod);
}

/// Whether a call ends at `address`, and of what.
bool follows_call(std::uintptr_t address, std::uintptr_t& callee) {
    if (!in_text(address) || !in_text(address - kLongestCall)) return false;
    const auto* end = reinterpret_cast<const u8*>(address);
    if (end[-5] == 0xe8) {  // CALL rel32
        i32 distance;
        __builtin_memcpy(&distance, end - 4, sizeof distance);
        callee = address + static_cast<std::uintptr_t>(i64{distance});
        if (in_text(callee)) return true;
    }
    callee = kUnknown;
    for (usize bytes = 2; bytes <= kLongestCall; ++bytes) {
        const u8* const call = end - bytes;
        if (call[0] == 0xff && indirect_call_bytes(call[1], bytes > 2 ? call[2] : u8{0}) == bytes) return true;
    }
    return false;
}

}  // namespace

usize callers(std::uintptr_t stack_pointer, std::uintptr_t frame, std::span<Caller> to) {
    usize found = 0;
    std::uintptr_t at = (stack_pointer + kWord - 1) & ~(kWord - 1);
    for (usize i = 0; i < kMostWords && found < to.size() && at != x86::at(__boot_stack_top); ++i, at += kWord) {
        if ((i == 0 || at % kPage == 0) && !x86::is_mapped(at)) break;
        const std::uintptr_t address = *reinterpret_cast<const std::uintptr_t*>(at);
        // A frame is the caller's frame, farther out, and the return address.
        const bool in_frame = i != 0 && at == frame + kWord;
        if (in_frame) frame = *reinterpret_cast<const std::uintptr_t*>(frame);
        std::uintptr_t callee = kUnknown;
        if (follows_call(address, callee) ||
            (in_frame && in_text(address)))  // an interrupt makes a frame without a call
            to[found++] = {address, callee, in_frame};
    }
    return found;
}

// Nothing in string.S touches the stack.
std::uintptr_t caller_of_frameless(std::uintptr_t pc, std::uintptr_t stack_pointer) {
    const bool is_string = pc >= x86::at(__string_text_start) && pc < x86::at(__string_text_end);
    if (!is_string || stack_pointer % kWord != 0 || !x86::is_mapped(stack_pointer)) return 0;
    return *reinterpret_cast<const std::uintptr_t*>(stack_pointer);
}

}  // namespace ringlet::arch
