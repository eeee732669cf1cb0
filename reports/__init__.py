"""An audit result made visible: figures, the HTML report, the dashboard's pages."""
