"""Content on its way and trees as they are walked; knows nothing of who asked, nor how."""
