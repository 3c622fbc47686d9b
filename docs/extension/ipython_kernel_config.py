"""For the kernels that run the pages: sharp figures, nothing kept, nothing said."""

c = get_config()
c.HistoryManager.enabled = False
c.IPKernelApp.matplotlib = "inline"
c.IPKernelApp.log_level = 40
c.InlineBackend.figure_formats = {"retina"}
