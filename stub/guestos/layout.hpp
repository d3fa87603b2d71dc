// Where things are in this kernel: member offsets from BTF and symbols, looked up once.  A group is there as
// a whole or not at all, and so is what stands on it: by presence, never by version.
#pragma once

#include <cstdint>
#include <optional>

#include "arch/addr.hpp"
#include "stub/guestos/btf.hpp"
#include "stub/guestos/symbols.hpp"

namespace ringside::guestos {

using Offset = std::uint64_t;  // bytes

struct TaskLayout {
  Offset pid, tgid, comm, flags, real_parent;
};

struct TaskListLayout {
  Gva init_task;
  Offset tasks, signal, thread_head, thread_node, state, exit_state, cpu;
  Offset saved_sp, frame_ret_addr;  // of a task that sleeps
};

// A task that sleeps, as its last switch away has left it.
struct SleepLayout {
  Offset saved_sp, frame_bp, frame_ret_addr, on_cpu;
  std::uint64_t frame_bytes;
  std::uint64_t on_cpu_bytes;  // has been 4 and 1
};

// path.{mnt,dentry}; mount is around vfsmount, which is what struct path points to.
struct PathLayout {
  Offset path_mnt, path_dentry;
  Offset mnt_root, mount_mnt, mount_parent, mount_mountpoint;
  Offset d_parent, d_name, d_len, d_inode, d_sb, d_unhashed;  // d_unhashed: d_hash.pprev
  Offset i_ino, sb_type, type_name;
};

struct FileLayout {
  Offset files, fdt, max_fds, fd, f_path;
  Offset fs, root, pwd;
};

struct ModuleLayout {
  Gva modules;
  Offset list, name, state, base, size, sect_attrs;
  std::uint64_t regions = 1, region_bytes = 0;  // mem[]
  // Sections: sect_attrs leads to a list of pointers to attributes, each with a name and an address.
  std::optional<Offset> section_list, section_name, section_address;
  // Its stack tables, and its symbols: elf64_sym each.
  struct Orc {
    Offset count, ips, entries;
  };
  struct Symbols {
    Offset list, count_at, table_at, names_at;  // module.kallsyms leads to the other three
  };
  std::optional<Orc> orc;
  std::optional<Symbols> symbols;
};

struct LogLayout {
  Gva prb;
  Offset count_bits, descs, infos, head_id, tail_id;
  Offset size_bits, data;
  Offset state_var, begin, next;
  Offset ts_nsec, text_len;
  std::uint64_t desc_bytes, info_bytes;
};

struct CurrentLayout {
  Gva offset;  // to be added to a CPU's GS base
};

std::optional<TaskLayout> task_layout(const Btf& btf);
std::optional<TaskListLayout> task_list_layout(const Btf& btf, const SymbolTable& symbols);
std::optional<SleepLayout> sleep_layout(const Btf& btf);
std::optional<PathLayout> path_layout(const Btf& btf);
std::optional<FileLayout> file_layout(const Btf& btf);
std::optional<ModuleLayout> module_layout(const Btf& btf, const SymbolTable& symbols);
std::optional<LogLayout> log_layout(const Btf& btf, const SymbolTable& symbols);
std::optional<CurrentLayout> current_layout(const Btf* btf, const SymbolTable& symbols);

}  // namespace ringside::guestos
