#include "stub/guestos/layout.hpp"

namespace ringside::guestos {
namespace {

// Collects offsets, and whether all of them were there.
class Members {
 public:
  explicit Members(const Btf& btf, const SymbolTable* symbols = nullptr) : btf_(btf), symbols_(symbols) {}

  Members& at(Offset& into, std::string_view structure, std::string_view path) {
    return put(into, btf_.member(structure, path));
  }
  // Of the two names that a member has had.
  Members& either(Offset& into, std::string_view structure, std::string_view path, std::string_view older) {
    const auto found = btf_.member(structure, path);
    return put(into, found ? found : btf_.member(structure, older));
  }
  Members& size(std::uint64_t& into, std::string_view structure) {
    return put(into, btf_.size_of(structure));
  }
  Members& symbol(Gva& into, std::string_view name) {
    const auto found = symbols_->find(name);
    complete_ = complete_ && found;
    into = found.value_or(Gva{});
    return *this;
  }
  template <typename T>
  std::optional<T> all(const T& layout) const {
    return complete_ ? std::optional(layout) : std::nullopt;
  }

 private:
  Members& put(std::uint64_t& into, std::optional<std::uint64_t> value) {
    complete_ = complete_ && value;
    into = value.value_or(0);
    return *this;
  }

  const Btf& btf_;
  const SymbolTable* symbols_;
  bool complete_ = true;
};

}  // namespace

std::optional<TaskLayout> task_layout(const Btf& btf) {
  TaskLayout task{};
  return Members(btf)
      .at(task.pid, "task_struct", "pid")
      .at(task.tgid, "task_struct", "tgid")
      .at(task.comm, "task_struct", "comm")
      .at(task.flags, "task_struct", "flags")
      .at(task.real_parent, "task_struct", "real_parent")
      .all(task);
}

std::optional<TaskListLayout> task_list_layout(const Btf& btf, const SymbolTable& symbols) {
  TaskListLayout list{};
  return Members(btf, &symbols)
      .symbol(list.init_task, "init_task")
      .at(list.tasks, "task_struct", "tasks")
      .at(list.signal, "task_struct", "signal")
      .at(list.thread_head, "signal_struct", "thread_head")
      .at(list.thread_node, "task_struct", "thread_node")
      .either(list.state, "task_struct", "__state", "state")
      .at(list.exit_state, "task_struct", "exit_state")
      .either(list.cpu, "task_struct", "thread_info.cpu", "cpu")
      .at(list.saved_sp, "task_struct", "thread.sp")
      .at(list.frame_ret_addr, "inactive_task_frame", "ret_addr")
      .all(list);
}

std::optional<SleepLayout> sleep_layout(const Btf& btf) {
  SleepLayout sleep{};
  sleep.on_cpu_bytes = btf.member_size("task_struct", "on_cpu").value_or(0);
  if (sleep.on_cpu_bytes == 0 || sleep.on_cpu_bytes > 8) return std::nullopt;
  return Members(btf)
      .at(sleep.saved_sp, "task_struct", "thread.sp")
      .at(sleep.frame_bp, "inactive_task_frame", "bp")
      .at(sleep.frame_ret_addr, "inactive_task_frame", "ret_addr")
      .at(sleep.on_cpu, "task_struct", "on_cpu")
      .size(sleep.frame_bytes, "inactive_task_frame")
      .all(sleep);
}

std::optional<PathLayout> path_layout(const Btf& btf) {
  PathLayout path{};
  return Members(btf)
      .at(path.path_mnt, "path", "mnt")
      .at(path.path_dentry, "path", "dentry")
      .at(path.mnt_root, "vfsmount", "mnt_root")
      .at(path.mount_mnt, "mount", "mnt")
      .at(path.mount_parent, "mount", "mnt_parent")
      .at(path.mount_mountpoint, "mount", "mnt_mountpoint")
      .at(path.d_parent, "dentry", "d_parent")
      .at(path.d_name, "dentry", "d_name.name")
      .at(path.d_len, "dentry", "d_name.len")
      .at(path.d_inode, "dentry", "d_inode")
      .at(path.d_sb, "dentry", "d_sb")
      .at(path.d_unhashed, "dentry", "d_hash.pprev")
      .at(path.i_ino, "inode", "i_ino")
      .at(path.sb_type, "super_block", "s_type")
      .at(path.type_name, "file_system_type", "name")
      .all(path);
}

std::optional<FileLayout> file_layout(const Btf& btf) {
  FileLayout file{};
  return Members(btf)
      .at(file.files, "task_struct", "files")
      .at(file.fdt, "files_struct", "fdt")
      .at(file.max_fds, "fdtable", "max_fds")
      .at(file.fd, "fdtable", "fd")
      .at(file.f_path, "file", "f_path")
      .at(file.fs, "task_struct", "fs")
      .at(file.root, "fs_struct", "root")
      .at(file.pwd, "fs_struct", "pwd")
      .all(file);
}

namespace {

std::optional<ModuleLayout::Orc> module_orc(const Btf& btf) {
  ModuleLayout::Orc orc{};
  return Members(btf)
      .at(orc.count, "module", "arch.num_orcs")
      .at(orc.ips, "module", "arch.orc_unwind_ip")
      .at(orc.entries, "module", "arch.orc_unwind")
      .all(orc);
}

std::optional<ModuleLayout::Symbols> module_symbols(const Btf& btf) {
  ModuleLayout::Symbols symbols{};
  return Members(btf)
      .at(symbols.list, "module", "kallsyms")
      .at(symbols.count_at, "mod_kallsyms", "num_symtab")
      .at(symbols.table_at, "mod_kallsyms", "symtab")
      .at(symbols.names_at, "mod_kallsyms", "strtab")
      .all(symbols);
}

}  // namespace

std::optional<ModuleLayout> module_layout(const Btf& btf, const SymbolTable& symbols) {
  ModuleLayout module{};
  Members members(btf, &symbols);
  members.symbol(module.modules, "modules")
      .at(module.list, "module", "list")
      .at(module.name, "module", "name")
      .at(module.state, "module", "state");
  if (const auto regions = btf.member("module", "mem")) {
    module.base = *regions + btf.member("module_memory", "base").value_or(0);
    module.size = *regions + btf.member("module_memory", "size").value_or(0);
    members.size(module.region_bytes, "module_memory");
    const std::uint64_t all = btf.member_size("module", "mem").value_or(0);
    module.regions = module.region_bytes == 0 ? 1 : all / module.region_bytes;
  } else {
    members.at(module.base, "module", "core_layout.base").at(module.size, "module", "core_layout.size");
  }
  members.at(module.sect_attrs, "module", "sect_attrs");
  module.section_list = btf.member("module_sect_attrs", "grp.bin_attrs");
  module.section_name = btf.member("bin_attribute", "attr.name");
  // The address is kept behind the attribute, or in it.
  const auto around = btf.member("module_sect_attr", "battr");
  const auto behind = btf.member("module_sect_attr", "address");
  module.section_address =
      around && behind ? std::optional(*behind - *around) : btf.member("bin_attribute", "private");
  module.orc = module_orc(btf);
  module.symbols = module_symbols(btf);
  return members.all(module);
}

std::optional<LogLayout> log_layout(const Btf& btf, const SymbolTable& symbols) {
  LogLayout log{};
  return Members(btf, &symbols)
      .symbol(log.prb, "prb")
      .at(log.count_bits, "printk_ringbuffer", "desc_ring.count_bits")
      .at(log.descs, "printk_ringbuffer", "desc_ring.descs")
      .at(log.infos, "printk_ringbuffer", "desc_ring.infos")
      .at(log.head_id, "printk_ringbuffer", "desc_ring.head_id")
      .at(log.tail_id, "printk_ringbuffer", "desc_ring.tail_id")
      .at(log.size_bits, "printk_ringbuffer", "text_data_ring.size_bits")
      .at(log.data, "printk_ringbuffer", "text_data_ring.data")
      .at(log.state_var, "prb_desc", "state_var")
      .at(log.begin, "prb_desc", "text_blk_lpos.begin")
      .at(log.next, "prb_desc", "text_blk_lpos.next")
      .at(log.ts_nsec, "printk_info", "ts_nsec")
      .at(log.text_len, "printk_info", "text_len")
      .size(log.desc_bytes, "prb_desc")
      .size(log.info_bytes, "printk_info")
      .all(log);
}

// A per-CPU variable of its own, or a member of the hot ones.
std::optional<CurrentLayout> current_layout(const Btf* btf, const SymbolTable& symbols) {
  if (const auto own = symbols.find("current_task")) return CurrentLayout{*own};
  const auto hot = symbols.find("pcpu_hot");
  if (!hot || btf == nullptr) return std::nullopt;
  const auto member = btf->member("pcpu_hot", "current_task");
  if (!member) return std::nullopt;
  return CurrentLayout{*hot + *member};
}

}  // namespace ringside::guestos
