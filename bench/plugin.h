/* What QEMU offers TCG plugins, as far as count.c and profile.c use it, and the marker instruction: xchg %bx,%bx on x86-64,
 * hint #0x7e on aarch64; both do nothing otherwise. Debian ships no qemu-plugin.h (plugin API version 1). */
#pragma once
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct {
    const char* target_name;
    struct {
        int min, cur;
    } version;
    bool system_emulation;
    union {
        struct {
            int smp_vcpus, max_vcpus;
        } system;
    };
} qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb*));
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn*, void (*)(unsigned, void*), int, void*);
extern void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn*, int, void*, uint64_t);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb*);
extern struct qemu_plugin_insn* qemu_plugin_tb_get_insn(const struct qemu_plugin_tb*, size_t);
extern const void* qemu_plugin_insn_data(const struct qemu_plugin_insn*);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn*);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn*);
extern void qemu_plugin_outs(const char*);
__attribute__((visibility("default"))) int qemu_plugin_version = 1;

static bool is_mark(const struct qemu_plugin_insn* insn) {
    static const unsigned char x86[3] = {0x66, 0x87, 0xdb}, arm[4] = {0xdf, 0x2f, 0x03, 0xd5};
    const size_t size = qemu_plugin_insn_size(insn);
    const void* bytes = qemu_plugin_insn_data(insn);
    return (size == 3 && !memcmp(bytes, x86, 3)) || (size == 4 && !memcmp(bytes, arm, 4));
}
