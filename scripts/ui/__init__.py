"""`kennel ui`: the jobs, trials and endpoints of an account or an emulator, in the browser.

How to add a page:
1. In a file of its own, decorate an (async) function with `@frame.page("/path", "Title")`; it draws
   with `nicegui.ui` into the page's main part. `frame.ask` runs slow calls and shows a `Problem`.
2. Name the file in `server.pages`, and for the menu also the path in `frame.MENU`.
3. Draw with `tables.show` and `charts.show`: their buttons save CSV and PNG. Text from outside goes
   only into `ui.label`, table cells and values of charts, which show text as text: never HTML.
"""
