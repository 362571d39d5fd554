"""Every figure is a function from report data to inline SVG."""
