// A traced process of this machine as the decoders see one: memory by process_vm_readv, paths by /proc.
#pragma once

#include <array>
#include <string>

#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "stub/strace/call.hpp"

namespace ringside::strace::native {

class PtraceMemory : public VirtualMemory {
 public:
  explicit PtraceMemory(pid_t pid) : pid_(pid) {}
  bool read(Gva from, MutableByteView to) const noexcept override {
    if (to.empty()) return true;
    const iovec local{to.data(), to.size()};
    const iovec remote{reinterpret_cast<void*>(from.value), to.size()};
    return ::process_vm_readv(pid_, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(to.size());
  }

 private:
  pid_t pid_;
};

class PtraceProcess : public Process {
 public:
  explicit PtraceProcess(pid_t pid) : pid_(pid), memory_(pid) {}
  const VirtualMemory& memory() const noexcept override { return memory_; }
  bool fd_path(int fd, Text& into) const noexcept override {
    return link("/proc/" + std::to_string(pid_) + "/fd/" + std::to_string(fd), into);
  }
  bool working_directory(Text& into) const noexcept override {
    return link("/proc/" + std::to_string(pid_) + "/cwd", into);
  }

 private:
  static bool link(const std::string& name, Text& into) {
    std::array<char, 4096> path;
    const ssize_t size = ::readlink(name.c_str(), path.data(), path.size());
    if (size < 0) return false;
    into.add(std::string_view(path.data(), static_cast<std::size_t>(size)));
    return true;
  }
  pid_t pid_;
  PtraceMemory memory_;
};

}  // namespace ringside::strace::native
