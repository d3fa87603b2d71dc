// Keeps what is known of the guest's Linux: looked for when somebody asks, on a thread of its own, once for
// all tracers; again when it was too early in the guest's boot; forgotten when the machine is reset.
//
// A kernel that the monitor placed is looked for at its place, whatever the CPUs do; one that moved itself is
// through the address space of CPU 0, near LSTAR.  Thread: hub.  Owner: Hub; the machine must outlive it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "stub/hub/kernel_memory.hpp"
#include "stub/tracer/port.hpp"
#include "vmm/api/machine.hpp"

namespace ringside::hub {

class KernelKeeper {
 public:
  using Answer = tracer::Done<std::shared_ptr<const guestos::Kernel>>;

  KernelKeeper(boost::asio::any_io_executor executor, api::Machine& machine);
  ~KernelKeeper();
  KernelKeeper(const KernelKeeper&) = delete;
  KernelKeeper& operator=(const KernelKeeper&) = delete;

  // At once when it is known; else when a search, with these points hidden, has ended.
  void ask(std::shared_ptr<const PointSnapshot> points, Answer done);
  // Goes on asking until it is known, or forgotten.
  void ask_until_known(std::function<std::shared_ptr<const PointSnapshot>()> points,
                       std::function<void()> known);
  // A file with its symbols, absolute path; made when first asked for.
  void symbol_file(std::shared_ptr<const PointSnapshot> points, tracer::Done<std::string> done);
  // A kernel has come to its place, there.
  void found_at(const ImagePlace& place);
  void forget();
  std::shared_ptr<const KnownKernel> known() const { return known_; }

  // Null while no kernel is known.  Good for as long as the machine is.
  std::unique_ptr<VirtualMemory> memory(std::shared_ptr<const PointSnapshot> points) const;

 private:
  // Where to look.
  struct View {
    ImagePlace image;  // bytes: 0 when not known
    x86::PagingState paging;
    Gva hint;
  };

  void look(std::shared_ptr<const PointSnapshot> points);
  void look_from_cpu(std::shared_ptr<const PointSnapshot> points);
  void search(const View& view, std::shared_ptr<const PointSnapshot> points);
  void finished(std::uint64_t life, Result<std::shared_ptr<const KnownKernel>> found);
  void make_file();
  void file_made(std::uint64_t life, Result<std::string> file);
  static Result<std::shared_ptr<const KnownKernel>> find(const View& view, const PhysicalMemory& memory,
                                                         std::shared_ptr<const PointSnapshot> points);

  boost::asio::any_io_executor executor_;
  api::Machine& machine_;
  std::shared_ptr<const KnownKernel> known_;
  std::optional<ImagePlace> place_;
  std::vector<Answer> waiting_;
  bool searching_ = false;
  std::optional<std::string> file_;
  std::vector<tracer::Done<std::string>> waiting_for_file_;
  bool making_file_ = false;
  std::uint64_t life_ = 0;  // one more with each reset
  boost::asio::steady_timer retry_;
  bool retrying_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>();  // for answers that come later than our end
  std::jthread thread_, file_thread_;                     // last: they end before what they use
};

}  // namespace ringside::hub
